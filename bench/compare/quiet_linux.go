package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// userHZ is the unit of /proc/stat, fixed for all architectures.
const userHZ = 100

// othersBusy is the [gauge] that reads /proc/stat.
func othersBusy(ctx context.Context, window time.Duration) (share float64, ok bool) {
	before, ok := busyOthers()
	if !ok {
		return 0, false
	}
	start := time.Now()
	select {
	case <-time.After(window):
	case <-ctx.Done():
		return 0, true
	}
	after, ok := busyOthers()
	return (after - before) / time.Since(start).Seconds(), ok
}

// busyOthers returns the CPU seconds that all others have used since the start
// of the machine.
func busyOthers() (seconds float64, ok bool) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	busy, ok := parseStat(string(text))
	var own unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &own) != nil {
		return 0, false
	}
	return busy - time.Duration(own.Utime.Nano()+own.Stime.Nano()).Seconds(), ok
}

// parseStat returns the busy seconds of all CPUs in the text of /proc/stat: the
// first line, without idle, waiting for I/O, and guests, who are counted twice.
func parseStat(text string) (seconds float64, ok bool) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	const user, nice, system, irq, softirq, steal = 1, 2, 3, 6, 7, 8
	if len(fields) <= steal || fields[0] != "cpu" {
		return 0, false
	}
	for _, i := range []int{user, nice, system, irq, softirq, steal} {
		n, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return 0, false
		}
		seconds += n / userHZ
	}
	return seconds, true
}
