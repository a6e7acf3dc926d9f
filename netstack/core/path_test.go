package core_test

import (
	"net/netip"

	"smolnet/netstack/route"
)

func routeVia(prefix string, gateway netip.Addr) route.Route {
	return route.Route{Prefix: netip.MustParsePrefix(prefix), Gateway: gateway}
}
