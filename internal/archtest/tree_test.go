package archtest

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

// perFile are the rules that look at one file at a time.
var perFile = map[string]func(*File) []Finding{
	"purity":     Purity,
	"sleeps":     Sleeps,
	"layers":     Layers,
	"unfinished": Unfinished,
}

func load(t *testing.T) []*File {
	t.Helper()
	files, err := Load(root)
	require.NoError(t, err)
	return files
}

// none fails the test with one line for each finding.
func none(t *testing.T, found []Finding) {
	t.Helper()
	for _, f := range found {
		t.Error(f)
	}
}

func TestTreeIsLoaded(t *testing.T) {
	seen := make(map[string]bool)
	for _, f := range load(t) {
		seen[f.Path] = true
	}
	for _, p := range []string{"phy/device.go", "netstack/clock/clock.go", "internal/archtest/load.go", "internal/archtest/tree_test.go"} {
		require.Contains(t, seen, p)
	}
}

func TestTree(t *testing.T) {
	files := load(t)
	for name, rule := range perFile {
		t.Run(name, func(t *testing.T) {
			for _, f := range files {
				none(t, rule(f))
			}
		})
	}
	t.Run("sizes", func(t *testing.T) { none(t, Sizes(files, exceptions)) })
	t.Run("docs", func(t *testing.T) { none(t, Docs(files)) })
}

// TestTableIsUsed keeps the tables from naming what is not there any more.
func TestTableIsUsed(t *testing.T) {
	files := load(t)
	known := func(p string) bool {
		for _, f := range files {
			if within(f.Dir, p) || f.Path == p {
				return true
			}
		}
		return false
	}
	for pkg, who := range sharedImports {
		for _, p := range who {
			require.True(t, known(p), "sharedImports[%q] names %s, which is not in the tree", pkg, p)
		}
	}
}

// TestProgramLinks asks the go command what a program made of the product's
// packages links, on this machine's system and on the leanest one.
func TestProgramLinks(t *testing.T) {
	for _, system := range []string{"linux/amd64", "js/wasm"} {
		t.Run(system, func(t *testing.T) {
			list := goList(t, system, present(t)...)
			require.Contains(t, string(list), Module+"/phy\n")
			none(t, Linked(list))
			if system == "linux/amd64" {
				none(t, Heavy(list))
			}
		})
	}
}

// TestLinkedSeesTests proves that Linked would notice: the tests of this
// package link testify.
func TestLinkedSeesTests(t *testing.T) {
	found := Linked(goList(t, "linux/amd64", "-test", Module+"/internal/archtest"))
	text := fmt.Sprint(found)
	require.Contains(t, text, "github.com/stretchr/testify/require")
	require.Contains(t, text, " links testing")
}

// present returns the product's packages that have source already.
func present(t *testing.T) []string {
	t.Helper()
	var pkgs []string
	files := load(t)
	for _, p := range product {
		for _, f := range files {
			if f.Dir == p && !f.Test {
				pkgs = append(pkgs, Module+"/"+p)
				break
			}
		}
	}
	return pkgs
}

func goList(t *testing.T, system string, args ...string) []byte {
	t.Helper()
	goos, goarch, _ := strings.Cut(system, "/")
	cmd := exec.Command("go", append([]string{"list", "-deps", "-f", "{{if .Standard}}std {{end}}{{.ImportPath}}"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	return out
}
