package work

import "time"

// A meter measures what the process uses. It counts all of its threads, so
// whatever runs beside a work is measured with it.
type meter struct {
	wall time.Time
	cpu  time.Duration
}

func startMeter() meter { return meter{wall: time.Now(), cpu: cpuTime()} }

// stop returns the time that has passed and the CPU time that was used in it,
// by the program and by the kernel for it.
func (m meter) stop() (wall, cpu time.Duration) {
	return time.Since(m.wall), cpuTime() - m.cpu
}
