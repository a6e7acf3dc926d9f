package archtest

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// pureStd are the standard packages that protocol code may import. None of
// them does I/O, reads a clock, starts a goroutine or draws randomness by
// itself, apart from the names that partlyPure and bannedNames hold back.
var pureStd = []string{
	"bytes", "cmp", "container/heap", "crypto/aes", "crypto/cipher", "crypto/hmac", "crypto/md5", "crypto/sha1",
	"crypto/sha256", "crypto/subtle", "encoding/binary", "errors", "fmt", "hash", "hash/crc32", "io", "iter", "maps",
	"math", "math/bits", "math/rand", "math/rand/v2", "net/netip", "runtime", "slices", "sort", "strconv", "strings",
	"sync", "sync/atomic", "time", "unicode/utf8",
}

// partlyPure are packages of which protocol code may use these names only.
var partlyPure = map[string][]string{
	"time": {"Duration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"},
	"sync": {"Pool"},
	// A stream's producer yields while the loop trims it.
	"runtime": {"Gosched"},
	"math/rand": {
		"New", "NewSource", "NewZipf", "Rand", "Source", "Source64", "Zipf",
	},
	"math/rand/v2": {
		"New", "NewPCG", "NewChaCha8", "NewZipf", "Rand", "Source", "PCG", "ChaCha8", "Zipf",
	},
}

// bannedNames are names that protocol code may not use of an otherwise
// allowed package.
var bannedNames = map[string][]string{
	"fmt": {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
}

// sharedImports says who may import what is for sharing between goroutines.
// An entry is a package's folder or a single file. The list is the complete
// one of DESIGN.md, section Sharing.
var sharedImports = map[string][]string{
	"runtime": {"netstack/stream"},
	"sync":    {"netstack/stream", "netstack/packet"},
	"sync/atomic": {
		"netstack/stream", "netstack/packet",
		"netstack/core/dirty.go", "netstack/core/socket.go", // the dirty list, and a socket's place on it
		"netstack/core/core.go",       // the largest MTU, which bounds a user's datagrams
		"netstack/core/tcp_socket.go", // what the user wants of a connection, and what has become of it
		"netstack/core/datagram.go",   // the same for datagrams
		"netstack/core/listener.go",   // how many connections wait to be accepted
		"netstack/tcp/window.go",      // the announced window, for a reader to tell when an update is due
	},
}

// phyPlain are the names of package phy that are plain data, and so may be
// used by package core.
var phyPlain = []string{
	"Capabilities", "EthernetHeaderLen", "Frame", "GSONone", "GSOTCPv4", "GSOTCPv6", "GSOType", "GSOUDP", "Medium",
	"MediumEthernet", "MediumIP", "Offload",
}

// pure reports whether dir must hold pure protocol code: everything below
// netstack, but not package netstack itself.
func pure(dir string) bool { return strings.HasPrefix(dir, "netstack/") }

// Purity finds what protocol code must not do: talk to the world, ask for the
// time, share, block, or draw randomness. Tests may do all of that.
func Purity(f *File) []Finding {
	if !pure(f.Dir) || f.Test {
		return nil
	}
	return slices.Concat(pureImports(f), pureNames(f), pureStatements(f))
}

func pureImports(f *File) []Finding {
	var found []Finding
	for _, spec := range f.Syntax.Imports {
		p := importPath(spec)
		if spec.Name != nil && spec.Name.Name == "." {
			found = append(found, f.finding("pure-import", spec.Pos(), "dot import of %s hides where names come from", p))
		}
		if p == Module || strings.HasPrefix(p, Module+"/") {
			continue // the layer table's business
		}
		if !slices.Contains(pureStd, p) {
			found = append(found, f.finding("pure-import", spec.Pos(), "protocol code may not import %s", p))
		}
		if who := sharedImports[p]; who != nil && !slices.Contains(who, f.Dir) && !slices.Contains(who, f.Path) {
			found = append(found, f.finding("pure-sharing", spec.Pos(), "only %s may import %s", strings.Join(who, ", "), p))
		}
	}
	return found
}

func pureNames(f *File) []Finding {
	var found []Finding
	f.selectors(func(pos token.Pos, p, name string) {
		only, partly := partlyPure[p]
		switch {
		case partly && !slices.Contains(only, name), slices.Contains(bannedNames[p], name):
			found = append(found, f.finding("pure-name", pos, "protocol code may not use %s.%s", p, name))
		case p == Module+"/phy" && !slices.Contains(phyPlain, name):
			found = append(found, f.finding("pure-phy", pos, "the core may use plain types of phy only, not %s", name))
		}
	})
	return found
}

func pureStatements(f *File) []Finding {
	var found []Finding
	add := func(n ast.Node, what string) {
		found = append(found, f.finding("pure-statement", n.Pos(), "%s in protocol code", what))
	}
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			add(n, "go statement")
		case *ast.SelectStmt:
			add(n, "select")
		case *ast.ChanType:
			add(n, "channel type")
		case *ast.SendStmt:
			add(n, "channel send")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				add(n, "channel receive")
			}
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				add(n, "init function")
			}
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "print" || id.Name == "println") {
				add(n, "print to standard error")
			}
		}
		return true
	})
	return found
}

// sleepers are the names of package time that make a test wait for the real
// clock.
var sleepers = []string{"Sleep", "Tick"}

// Sleeps finds tests that wait for the real clock. Inside testing/synctest the
// clock is not real, and tests against other machines have nothing better.
func Sleeps(f *File) []Finding {
	if !f.Test || within(f.Dir, "compat_test/...") {
		return nil
	}
	for _, spec := range f.Syntax.Imports {
		if importPath(spec) == "testing/synctest" {
			return nil
		}
	}
	var found []Finding
	f.selectors(func(pos token.Pos, p, name string) {
		if p == "time" && slices.Contains(sleepers, name) {
			found = append(found, f.finding("sleep", pos, "time.%s in a test: wait for the event, or use testing/synctest", name))
		}
	})
	return found
}
