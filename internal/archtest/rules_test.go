package archtest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A sample is a piece of source and the one rule that it breaks, with a part
// of what the finding says. No rule: it breaks none.
type sample struct {
	name string
	path string
	src  string
	rule string
	says string
}

const (
	inTCP  = "netstack/tcp/x.go"
	inCore = "netstack/core/x.go"
)

var samples = []sample{
	{"os", inTCP, `import "os"; var _ = os.Args`, "pure-import", "may not import os"},
	{"net", inTCP, `import "net"; var _ net.IP`, "pure-import", "may not import net"},
	{"syscall", inTCP, `import "syscall"; var _ = syscall.EPIPE`, "pure-import", "may not import syscall"},
	{"log", inTCP, `import "log"; func f() { log.Print() }`, "pure-import", "may not import log"},
	{"slog", inTCP, `import "log/slog"; var _ slog.Level`, "pure-import", "may not import log/slog"},
	{"crypto/rand", inTCP, `import "crypto/rand"; var _ = rand.Reader`, "pure-import", "may not import crypto/rand"},
	{"unsafe", inTCP, `import "unsafe"; var _ unsafe.Pointer`, "pure-import", "may not import unsafe"},
	{"context", inTCP, `import "context"; var _ context.Context`, "pure-import", "may not import context"},
	{"third party", inTCP, `import "golang.org/x/sys/unix"; var _ = unix.EPIPE`, "pure-import", "golang.org/x/sys/unix"},
	{"cgo", inTCP, `import "C"`, "pure-import", "may not import C"},
	{"dot import", inTCP, `import . "strings"; var _ = ToLower`, "pure-import", "dot import of strings"},
	{"blank import", inTCP, `import _ "os"`, "pure-import", "may not import os"},
	{"os of netstack itself", "netstack/x.go", `import "os"; var _ = os.Args`, "", ""},
	{"os of a test", "netstack/tcp/x_test.go", `import "os"; var _ = os.Args`, "", ""},
	{"os elsewhere", "phy/x.go", `import "os"; var _ = os.Args`, "", ""},
	{"plain imports", inTCP, `import ("errors"; "net/netip"); var _ netip.Addr; var _ = errors.New`, "", ""},

	{"mutex", "netstack/stream/x.go", `import "sync"; var _ sync.Mutex`, "pure-name", "sync.Mutex"},
	{"pool where shared", "netstack/stream/x.go", `import "sync"; var _ sync.Pool`, "", ""},
	{"pool elsewhere", inTCP, `import "sync"; var _ sync.Pool`, "pure-sharing", "may import sync"},
	{"atomic where shared", "netstack/packet/x.go", `import "sync/atomic"; var _ atomic.Uint64`, "", ""},
	{"atomic on the dirty list", "netstack/core/dirty.go", `import "sync/atomic"; var _ atomic.Uint64`, "", ""},
	{"atomic elsewhere in the core", inCore, `import "sync/atomic"; var _ atomic.Uint64`, "pure-sharing", "sync/atomic"},
	{"atomic elsewhere", "netstack/route/x.go", `import "sync/atomic"; var _ atomic.Uint64`, "pure-sharing", "sync/atomic"},

	{"yield where shared", "netstack/stream/x.go", `import "runtime"; func f() { runtime.Gosched() }`, "", ""},
	{"yield elsewhere", inTCP, `import "runtime"; func f() { runtime.Gosched() }`, "pure-sharing", "runtime"},
	{"collect", "netstack/stream/x.go", `import "runtime"; func f() { runtime.GC() }`, "pure-name", "runtime.GC"},

	{"Now", inTCP, `import "time"; var _ = time.Now()`, "pure-name", "time.Now"},
	{"Now as a value", inTCP, `import "time"; var _ = time.Now`, "pure-name", "time.Now"},
	{"Now renamed", inTCP, `import t "time"; var _ = t.Now()`, "pure-name", "time.Now"},
	{"After", inTCP, `import "time"; var _ = time.After(1)`, "pure-name", "time.After"},
	{"Sleep", inTCP, `import "time"; func f() { time.Sleep(1) }`, "pure-name", "time.Sleep"},
	{"NewTimer", inTCP, `import "time"; var _ = time.NewTimer(1)`, "pure-name", "time.NewTimer"},
	{"NewTicker", inTCP, `import "time"; var _ = time.NewTicker(1)`, "pure-name", "time.NewTicker"},
	{"AfterFunc", inTCP, `import "time"; var _ = time.AfterFunc`, "pure-name", "time.AfterFunc"},
	{"Tick", inTCP, `import "time"; var _ = time.Tick(1)`, "pure-name", "time.Tick"},
	{"Since", inTCP, `import "time"; var _ = time.Since`, "pure-name", "time.Since"},
	{"Until", inTCP, `import "time"; var _ = time.Until`, "pure-name", "time.Until"},
	{"Duration", inTCP, `import "time"; const rto time.Duration = 3 * time.Second`, "", ""},
	{"Println", inTCP, `import "fmt"; func f() { fmt.Println() }`, "pure-name", "fmt.Println"},
	{"Printf", inTCP, `import "fmt"; func f() { fmt.Printf("") }`, "pure-name", "fmt.Printf"},
	{"Sprintf", inTCP, `import "fmt"; var _ = fmt.Sprintf("")`, "", ""},
	{"global rand", inTCP, `import "math/rand"; var _ = rand.Intn(3)`, "pure-name", "math/rand.Intn"},
	{"global rand/v2", inTCP, `import "math/rand/v2"; var _ = rand.IntN(3)`, "pure-name", "math/rand/v2.IntN"},
	{"seeded rand", inTCP, `import "math/rand/v2"; var _ = rand.New(rand.NewPCG(1, 2))`, "", ""},

	{"go", inTCP, `func f() { go f() }`, "pure-statement", "go statement"},
	{"select", inTCP, `func f() { select {} }`, "pure-statement", "select"},
	{"chan", inTCP, `type t struct { c chan int }`, "pure-statement", "channel type"},
	{"make chan", inTCP, `var c = make(chan int)`, "pure-statement", "channel type"},
	{"send", inTCP, `func f() { c <- 1 }`, "pure-statement", "channel send"},
	{"receive", inTCP, `func f() { <-c }`, "pure-statement", "channel receive"},
	{"init", inTCP, `func init() {}`, "pure-statement", "init function"},
	{"method init", inTCP, `type t int; func (t) init() {}`, "", ""},
	{"println", inTCP, `func f() { println() }`, "pure-statement", "print to standard error"},
	{"go elsewhere", "conn/x.go", `func f() { go f() }`, "", ""},

	{"phy's plain types", inCore, `import "smolnet/phy"; var _ phy.Offload; var _ = phy.MediumIP`, "", ""},
	{"a device in the core", inCore, `import "smolnet/phy"; var _ phy.Device`, "pure-phy", "not Device"},

	{"sleep in a test", "conn/x_test.go", `import "time"; func f() { time.Sleep(1) }`, "sleep", "time.Sleep"},
	{"sleep in virtual time", "conn/x_test.go", `import ("testing/synctest"; "time"); func f() { time.Sleep(1); synctest.Wait() }`, "", ""},
	{"sleep against the kernel", "compat_test/x_test.go", `import "time"; func f() { time.Sleep(1) }`, "", ""},

	{"import down the page", inTCP, `import "smolnet/netstack/core"; var _ core.Core`, "layer-import", "netstack/tcp may not import netstack/core"},
	{"import sideways", "dialer/x.go", `import "smolnet/listener"; var _ listener.Config`, "layer-import", "dialer may not import listener"},
	{"phy imports the stack", "phy/x.go", `import "smolnet/netstack"; var _ netstack.Stack`, "layer-import", "phy may not import netstack"},
	{"the product imports an example", "conn/x.go", `import _ "smolnet/examples/ping"`, "layer-import", "examples/ping"},
	{"import up the page", "conn/x.go", `import "smolnet/netstack/tcp"; var _ tcp.State`, "", ""},
	{"test imports down the page", "netstack/tcp/x_test.go", `import _ "smolnet/netstack/core"`, "", ""},
	{"unknown package", "frobnicate/x.go", ``, "layer-unknown", "frobnicate has no row"},
	{"unknown protocol package", "netstack/frobnicate/x.go", ``, "layer-unknown", "netstack/frobnicate has no row"},

	{"TODO", "conn/x.go", `// TODO: write it`, "unfinished", "TODO"},
	{"FIXME in a block", "conn/x.go", `/* FIXME */`, "unfinished", "FIXME"},
	{"XXX", "conn/x_test.go", `// XXX(someone)`, "unfinished", "XXX"},
	{"not a mark", "conn/x.go", `// autodoXXXX and a TODOLIST`, "", ""},
	{"stub", "conn/x.go", `func f() { panic("stub") }`, "unfinished", "not written"},
	{"not implemented", "conn/x.go", "func f() { panic(`not implemented`) }", "unfinished", "not written"},
	{"panic with a cause", "conn/x.go", `func f() { panic("una after nxt") }`, "", ""},
}

func parse(t *testing.T, path, body string) *File {
	t.Helper()
	f, err := Parse(path, []byte("package x\n\n"+strings.ReplaceAll(body, "; ", "\n")+"\n"))
	require.NoError(t, err)
	return f
}

// TestRules shows that each rule finds what it is there for, and only that.
func TestRules(t *testing.T) {
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			f := parse(t, s.path, s.src)
			var found []Finding
			for _, rule := range perFile {
				found = append(found, rule(f)...)
			}
			if s.rule == "" {
				require.Empty(t, found)
				return
			}
			require.NotEmpty(t, found)
			for _, got := range found {
				require.Equal(t, s.rule, got.Rule, got.String())
				require.Equal(t, s.path, got.Path)
				require.Positive(t, got.Line)
			}
			require.Contains(t, fmt.Sprint(found), s.says)
		})
	}
}

func TestDocs(t *testing.T) {
	tests := []struct {
		name, path, src string
		want            []string // rule and name
	}{
		{"function", "conn/x.go", "func Dial() {}", []string{"doc Dial"}},
		{"method", "conn/x.go", "type TCP struct{}\nfunc (c *TCP) Read() {}", []string{"doc TCP", "doc Read"}},
		{"method of a generic type", "conn/x.go", "// A Q.\ntype Q[T any] struct{}\nfunc (q *Q[T]) Pop() {}", []string{"doc Pop"}},
		{"method of an unexported type", "conn/x.go", "type tcp struct{}\nfunc (c tcp) Read() {}", nil},
		{"constant", "netstack/wire/x.go", "const A, b = 1, 2", []string{"doc A"}},
		{"variable", "phy/x.go", "var (\n\tErrA int\n\t// ErrB is.\n\tErrB int\n\tErrC int // is\n)", []string{"doc ErrA"}},
		{"group with a comment", "phy/x.go", "// Kinds.\nconst (\n\tA = 1\n\tB = 2\n)", nil},
		{"types in a group", "phy/x.go", "// Kinds.\ntype (\n\tA int\n\t// B is.\n\tB int\n)", []string{"doc A"}},
		{"with comments", "listener/x.go", "// A T is.\ntype T int\n// F does.\nfunc (T) F() {}", nil},
		{"somewhere private", "internal/cli/x.go", "func Dial() {}", nil},
		{"test helper", "conn/x_test.go", "func Dial() {}", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Parse(tt.path, []byte("// Package x is.\npackage x\n\n"+tt.src+"\n"))
			require.NoError(t, err)
			var got []string
			for _, found := range Docs([]*File{f}) {
				got = append(got, found.Rule+" "+strings.Fields(found.Text)[1])
			}
			require.Equal(t, tt.want, got)
		})
	}
	t.Run("package comment", func(t *testing.T) {
		bare := parse(t, "conn/a.go", "")
		found := Docs([]*File{bare})
		require.Len(t, found, 1)
		require.Equal(t, "doc-package", found[0].Rule)
		other, err := Parse("conn/doc.go", []byte("// Package x is.\npackage x\n"))
		require.NoError(t, err)
		require.Empty(t, Docs([]*File{bare, other}))
	})
}

func TestSizes(t *testing.T) {
	body := func(lines int) string { return strings.Repeat("\tprintln()\n", lines) }
	short := "func (c *Conn) Send() {\n" + body(maxFuncLines-2) + "}\n"
	long := "func (c *Conn) Send() {\n" + body(maxFuncLines-1) + "}\n"
	make := func(name, src string) []*File {
		f, err := Parse(name, []byte(src))
		require.NoError(t, err)
		return []*File{f}
	}
	fits := make("conn/x.go", "package x\n"+short)
	tooLong := make("conn/x.go", "package x\n"+long)
	big := make("conn/big.go", "package x\n"+strings.Repeat("\n", maxFileLines))
	full := make("conn/big.go", "package x\n"+strings.Repeat("\n", maxFileLines-1))

	require.Empty(t, Sizes(fits, nil))
	require.Empty(t, Sizes(full, nil))
	require.Empty(t, Sizes(make("conn/x_test.go", "package x\n"+long), nil))

	found := Sizes(tooLong, nil)
	require.Len(t, found, 1)
	require.Contains(t, found[0].String(), "conn/x.go:2: [size] Conn.Send has 71 lines")
	found = Sizes(big, nil)
	require.Len(t, found, 1)
	require.Contains(t, found[0].Text, "file has 601 lines")

	excepted := []exception{{"conn/x.go", "Conn.Send", "a table in code"}, {"conn/big.go", "", "generated"}}
	require.Empty(t, Sizes(append(tooLong, big...), excepted))
	found = Sizes(append(fits, full...), excepted)
	require.Len(t, found, 2, "exceptions that nothing needs")
	require.Equal(t, "size-exception", found[0].Rule)
	found = Sizes(tooLong, []exception{{"conn/x.go", "Conn.Send", ""}})
	require.Len(t, found, 1, "an exception without a reason")
}

func TestLinked(t *testing.T) {
	require.Empty(t, Linked([]byte("std net\nsmolnet/netstack/tcp\ngolang.org/x/sys/unix\n")))
	for _, bad := range []string{
		"gvisor.dev/gvisor/pkg/tcpip", "golang.zx2c4.com/wireguard/tun", "github.com/stretchr/testify/require",
		"github.com/vishvananda/netlinkzzz", "smolnet/internal/cli", "smolnet/internal/netns", "smolnet/adapters/gonet", "smolnet/phyzzy",
		"std testing", "std testing/synctest",
	} {
		found := Linked([]byte("std fmt\n" + bad + "\n"))
		require.Len(t, found, 1, bad)
		require.Equal(t, 2, found[0].Line)
	}
}

func TestHeavy(t *testing.T) {
	require.Empty(t, Heavy([]byte("std net\nstd fmt\nsmolnet/netstack/tcp\nexample.com/crypto\n")))
	for _, bad := range []string{"crypto", "crypto/rand", "log/slog", "encoding/json", "text/template"} {
		require.Len(t, Heavy([]byte("std fmt\nstd "+bad+"\n")), 1, bad)
	}
}

func TestWithin(t *testing.T) {
	require.True(t, within("a/b", "a/b"))
	require.False(t, within("a/b/c", "a/b"))
	require.True(t, within("a/b/c", "a/..."))
	require.True(t, within("a", "a/..."))
	require.False(t, within("ab", "a/..."))
}

func TestParseError(t *testing.T) {
	_, err := Parse("conn/x.go", []byte("package"))
	require.Error(t, err)
}
