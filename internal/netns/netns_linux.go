package netns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// An NS is a network namespace. Its methods may be called from any goroutine
// of the test, also at the same time.
type NS struct {
	t    testing.TB
	f    *os.File // holds the namespace open and is the way in
	home *os.File // the one that Open was called in: the way back
}

// New makes a namespace with nothing but a loopback interface, which is up. It
// is gone when the test has ended. Without the right to make one the test is
// skipped, see [Skip].
func New(t testing.TB) *NS {
	t.Helper()
	n, err := Open()
	if err != nil {
		Skip(t, "%v", err)
	}
	t.Cleanup(func() { n.Close() })
	n.t = t
	return n
}

// Open makes a namespace like [New], for programs that are no test. Of its
// methods only Enter and Close may be used. The error says what is missing,
// most often the right.
func Open() (*NS, error) {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("network namespaces: %w", err)
	}
	type result struct {
		f   *os.File
		err error
	}
	made := make(chan result, 1)
	go func() {
		// Never unlocked: the thread dies with the goroutine instead of
		// carrying the namespace to another one.
		runtime.LockOSThread()
		f, err := create()
		made <- result{f, err}
	}()
	r := <-made
	if r.err != nil {
		home.Close()
		return nil, fmt.Errorf("needs a network namespace of its own: %w (needs root or CAP_SYS_ADMIN)", r.err)
	}
	return &NS{f: r.f, home: home}, nil
}

// Close gives up a namespace of [Open]. It is gone as soon as nothing that was
// opened in it is open any more.
func (n *NS) Close() error { return errors.Join(n.f.Close(), n.home.Close()) }

// Enter moves the calling goroutine, and nothing else, into the namespace; leave
// moves it to the one that Open was called in, and must be called on the same
// goroutine. That is one system call each way, where Do starts a thread; between
// the two the goroutine keeps its thread. If the way back fails, for which no
// reason is known, leave says so, and the goroutine must end.
func (n *NS) Enter() (leave func() error, err error) {
	runtime.LockOSThread()
	if err := unix.Setns(int(n.f.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("enter network namespace: %w", err)
	}
	return func() error {
		if err := unix.Setns(int(n.home.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("leave network namespace: %w", err)
		}
		runtime.UnlockOSThread()
		return nil
	}, nil
}

// create moves the calling thread to a new namespace and returns the handle.
func create() (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("unshare: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return nil, fmt.Errorf("loopback up: %w", err)
	}
	return os.Open("/proc/thread-self/ns/net")
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// Do runs fn inside the namespace, on a thread of its own, and returns when fn
// has. What fn opens belongs to the namespace; goroutines that fn starts run
// outside, so a Dial in them (and one by name, or with several addresses) goes
// astray: start goroutines that call Do. In fn the test may fail or skip as
// usual, which ends it for the caller too.
func (n *NS) Do(fn func()) {
	n.t.Helper()
	var err error
	returned := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked, see New
		if err = unix.Setns(int(n.f.Fd()), unix.CLONE_NEWNET); err == nil {
			fn()
		}
		returned = true
	}()
	<-done
	if !returned {
		runtime.Goexit() // fn called FailNow or SkipNow
	}
	if err != nil {
		n.t.Fatalf("enter network namespace: %v", err)
	}
}

// Command returns the command to run a program inside the namespace. It is
// killed when the test ends. The program is executed by nsenter (util-linux),
// so a program that does not exist is an exit status of nsenter.
func (n *NS) Command(name string, args ...string) *exec.Cmd {
	n.t.Helper()
	NeedPrograms(n.t, "nsenter")
	enter := fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), n.f.Fd())
	return exec.CommandContext(n.t.Context(), "nsenter", append([]string{enter, "--", name}, args...)...)
}

// Output runs a program inside the namespace and returns its standard output.
// If it fails, so does the test, with what it printed.
func (n *NS) Output(name string, args ...string) string {
	n.t.Helper()
	cmd := n.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		n.t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}
