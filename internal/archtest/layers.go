package archtest

import (
	"bufio"
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// A layer says which of our own packages the packages of a folder may import.
// Both sides may end in "/...", which stands for a folder and all below it.
type layer struct {
	dir  string
	uses []string
}

// layers is the picture of DESIGN.md, section Shape, as a table: a package may
// import what its row names and nothing else of ours. A package's row is the
// first that fits.
var layers = []layer{
	{"phy", []string{"netstack/siphash", "netstack/wire"}},
	{"phy/phytest", []string{"netstack/wire", "phy"}},

	{"netstack/clock", nil},
	{"netstack/errno", nil},
	{"netstack/wire", nil},
	{"netstack/stream", nil},
	{"netstack/siphash", nil},
	{"netstack/ports", []string{"netstack/siphash"}},
	{"netstack/timer", []string{"netstack/clock"}},
	{"netstack/token", []string{"netstack/clock"}},
	{"netstack/route", []string{"netstack/clock", "netstack/errno"}},
	{"netstack/packet", []string{"netstack/clock", "netstack/errno", "netstack/stream", "netstack/wire"}},
	{"netstack/neighbor", []string{"netstack/clock", "netstack/packet", "netstack/timer", "netstack/wire"}},
	{"netstack/tcp", []string{"netstack/clock", "netstack/errno", "netstack/siphash", "netstack/stream", "netstack/wire"}},
	{"netstack/core", []string{
		"netstack/clock", "netstack/errno", "netstack/neighbor", "netstack/packet", "netstack/ports", "netstack/route",
		"netstack/siphash", "netstack/stream", "netstack/tcp", "netstack/timer", "netstack/token", "netstack/wire", "phy",
	}},

	{"netstack", []string{"netstack/...", "phy"}},
	{"conn", []string{"netstack/...", "phy"}},
	{"dialer", []string{"conn", "netstack/...", "phy"}},
	{"listener", []string{"conn", "netstack/...", "phy"}},
	{"adapters/...", []string{"conn", "dialer", "listener", "netstack/...", "phy", "adapters/..."}},

	{"internal/archtest", nil},
	{"internal/netns", nil},
	{"internal/twostacks", []string{"netstack/...", "phy"}},
	{"internal/rfcmap", nil},
	{"internal/cli", []string{"netstack/...", "phy"}},
	{"examples/...", []string{"conn", "dialer", "listener", "netstack/...", "phy", "adapters/...", "internal/cli"}},
	{"compat_test/...", []string{"conn", "dialer", "listener", "netstack/...", "phy", "adapters/...", "compat_test/..."}},
	{"bench/...", []string{"conn", "dialer", "listener", "netstack/...", "phy", "adapters/...", "internal/cli", "internal/netns", "bench/..."}},
}

// Layers finds imports that do not point up the page, and packages that the
// table does not know. Tests may import what they like: the compiler keeps
// them out of programs.
func Layers(f *File) []Finding {
	i := slices.IndexFunc(layers, func(l layer) bool { return within(f.Dir, l.dir) })
	if i < 0 {
		return []Finding{f.finding("layer-unknown", f.Syntax.Package,
			"package %s has no row in the table layers of internal/archtest/layers.go: add one that says what it may import", f.Dir)}
	}
	if f.Test {
		return nil
	}
	var found []Finding
	for _, spec := range f.Syntax.Imports {
		p, ours := strings.CutPrefix(importPath(spec), Module+"/")
		if !ours || slices.ContainsFunc(layers[i].uses, func(use string) bool { return within(p, use) }) {
			continue
		}
		found = append(found, f.finding("layer-import", spec.Pos(), "%s may not import %s (internal/archtest/layers.go)", f.Dir, p))
	}
	return found
}

// product are the packages that users build programs from.
var product = []string{"phy", "netstack", "conn", "dialer", "listener"}

// linkable are the import paths, each with all below it, that a program made
// of the product's packages may link beside the standard library.
var linkable = []string{
	Module + "/phy", Module + "/netstack", Module + "/conn", Module + "/dialer", Module + "/listener",
	"golang.org/x/net", "golang.org/x/sys",
	"github.com/vishvananda/netlink", "github.com/vishvananda/netns", // phy.ConfigureHost; netlink needs netns
}

// Linked finds packages in the output of go list -deps that a user's program
// must not carry: other stacks, test helpers, anything nobody agreed to. list
// has one line per package, its import path preceded by "std " for those of
// the standard library.
func Linked(list []byte) []Finding {
	var found []Finding
	lines := bufio.NewScanner(bytes.NewReader(list))
	for n := 1; lines.Scan(); n++ {
		p, std := strings.CutPrefix(lines.Text(), "std ")
		ok := slices.ContainsFunc(linkable, func(root string) bool { return within(p, root+"/...") })
		if std {
			ok = p != "testing" && !strings.HasPrefix(p, "testing/")
		}
		if !ok {
			found = append(found, Finding{Rule: "linked", Path: "go list -deps", Line: n,
				Text: fmt.Sprintf("a program made of %s links %s", strings.Join(product, ", "), p)})
		}
	}
	return found
}
