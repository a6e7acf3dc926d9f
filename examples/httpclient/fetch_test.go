package main

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/internal/twostacks"
	"smolnet/listener"
	"smolnet/phy"
)

func TestFetch(t *testing.T) {
	server, client := twostacks.New(t, phy.MediumEthernet)
	l, err := listener.Listen(server, "tcp", ":80")
	require.NoError(t, err)
	srv := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, "a page")
	})}
	go srv.Serve(l)
	defer srv.Close()
	for _, host := range []string{twostacks.A4.Addr().String(), "[" + twostacks.A6.Addr().String() + "]"} {
		var out bytes.Buffer
		require.NoError(t, fetch(t.Context(), client, "http://"+host+"/", &out))
		require.Equal(t, "a page", out.String())
		require.ErrorContains(t, fetch(t.Context(), client, "http://"+host+"/missing", &out), "404")
	}
}
