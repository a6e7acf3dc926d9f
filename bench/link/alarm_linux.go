package link

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// An alarm gets one goroutine up at an instant that others may change. Timers
// of the runtime end in an epoll_wait whose time-out counts in milliseconds;
// a timerfd is as exact as the kernel's high-resolution timers, and waits in
// the same poller.
type alarm struct {
	fd   int // file's
	file *os.File
	buf  [8]byte // how often the timer has gone off
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("timerfd: %w", err)
	}
	return &alarm{fd: fd, file: os.NewFile(uintptr(fd), "timerfd")}, nil
}

// set has wait return in d, and no earlier. It is not called together with
// itself, nor after close.
func (a *alarm) set(d time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(d, 1)))} // zero would stop it
	if err := unix.TimerfdSettime(a.fd, 0, &spec, nil); err != nil {
		panic(fmt.Sprintf("link: a timerfd of our own refuses %v: %v", d, err))
	}
}

// wait sleeps until the alarm goes off, maybe less. False: it was closed.
func (a *alarm) wait() bool {
	_, err := a.file.Read(a.buf[:])
	return err == nil
}

// close ends the present wait and all others.
func (a *alarm) close() {
	// The error could only be that of a second close.
	_ = a.file.Close()
}
