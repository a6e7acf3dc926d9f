package netns_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/internal/netns"
)

// current names the calling thread's network namespace.
func current(t *testing.T) string {
	name, err := os.Readlink("/proc/thread-self/ns/net")
	require.NoError(t, err)
	return name
}

func TestNamespacesAreApart(t *testing.T) {
	home := current(t)
	one, two := netns.New(t), netns.New(t)
	seen := map[string]bool{home: true}
	for _, ns := range []*netns.NS{one, two} {
		var inside, again string
		ns.Do(func() { inside = current(t) })
		ns.Do(func() { again = current(t) })
		require.Equal(t, inside, again)
		require.False(t, seen[inside], "namespace %s is not new", inside)
		seen[inside] = true
		require.Equal(t, inside, strings.TrimSpace(ns.Output("readlink", "/proc/self/ns/net")))
	}
	require.Equal(t, home, current(t))
}

func TestLoopbackIsUpAndIsolated(t *testing.T) {
	one, two := netns.New(t), netns.New(t)
	var ln net.Listener
	one.Do(func() {
		var err error
		ln, err = net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
	})
	defer ln.Close()
	accepted := make(chan error, 1)
	go func() { // the listener stays in its namespace, whoever uses it
		c, err := ln.Accept()
		if err == nil {
			_, err = io.WriteString(c, "hello")
			c.Close()
		}
		accepted <- err
	}()
	one.Do(func() {
		c, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		defer c.Close()
		b, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "hello", string(b))
	})
	require.NoError(t, <-accepted)
	two.Do(func() {
		_, err := net.Dial("tcp", ln.Addr().String())
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

func TestManyGoroutinesEnter(t *testing.T) {
	home := current(t)
	ns := netns.New(t)
	inside := strings.TrimSpace(ns.Output("readlink", "/proc/self/ns/net"))
	var wg sync.WaitGroup
	errs := make(chan error, 32)
	for range cap(errs) {
		wg.Go(func() {
			ns.Do(func() {
				if name, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || name != inside {
					errs <- fmt.Errorf("in %s: %w", name, err)
				}
			})
			if name, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || name != home {
				errs <- fmt.Errorf("back in %s: %w", name, err)
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}

// TestEnter moves one goroutine there and back, with what it opened staying.
func TestEnter(t *testing.T) {
	home := current(t)
	ns, err := netns.Open()
	if err != nil {
		netns.Skip(t, "%v", err)
	}
	runtime.LockOSThread() // or the goroutine's thread may change before it is asked where it is
	defer runtime.UnlockOSThread()
	leave, err := ns.Enter()
	require.NoError(t, err)
	inside := current(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, leave())
	require.NotEqual(t, home, inside)
	require.Equal(t, home, current(t))
	_, err = net.Dial("tcp", ln.Addr().String())
	require.ErrorIs(t, err, syscall.ECONNREFUSED, "the listener is not in this namespace")
	require.NoError(t, ln.Close())
	require.NoError(t, ns.Close())
	_, err = ns.Enter()
	require.Error(t, err, "closed")
}

// TestWithoutTheRight runs this test binary as a user who may not make a
// namespace: skipped with the reason, or failed if the run demands the right.
func TestWithoutTheRight(t *testing.T) {
	if os.Getenv("NETNS_TEST_CHILD") == "1" {
		netns.New(t)
		return
	}
	netns.New(t)
	for _, demand := range []string{"", "1"} {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestWithoutTheRight$", "-test.v")
		cmd.Dir = "/"
		cmd.Env = []string{"NETNS_TEST_CHILD=1", netns.RequireRoot + "=" + demand}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		require.Contains(t, string(out), "operation not permitted (needs root or CAP_SYS_ADMIN)")
		if demand == "1" {
			require.Error(t, err, "%s", out)
			require.Contains(t, string(out), "--- FAIL")
		} else {
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), "--- SKIP")
		}
	}
}
