package congestion

import (
	"testing"
	"time"
)

// BenchmarkOnAck is what an acknowledgment costs, through the interface.
func BenchmarkOnAck(b *testing.B) {
	for _, name := range Names() {
		b.Run(name, func(b *testing.B) {
			f, _ := New(name)
			c := at(f(), 100, 50)
			a := Ack{
				Acked: testMSS, Delivered: testMSS, WindowLimited: true, RTT: 10 * time.Millisecond, SRTT: 10 * time.Millisecond,
				Rate: 1e7, RateInterval: 10 * time.Millisecond, PriorInFlight: 100 * testMSS, InFlight: 99 * testMSS,
			}
			now := testNow
			for b.Loop() {
				now += 100_000
				a.TotalDelivered += testMSS
				a.PriorDelivered = a.TotalDelivered - min(100*testMSS, a.TotalDelivered)
				c.OnAck(now, a)
			}
		})
	}
}
