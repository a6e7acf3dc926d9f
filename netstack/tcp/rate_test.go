package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/stream"
	"smolnet/netstack/wire"
)

// rateBoard is a connection with ten segments of boardMSS bytes out, sent one by one
// every millisecond.
func rateBoard(t *testing.T) *board {
	b := newBoard(t, 0, &Config{NoTimestamps: true, NoDelay: true}, stream.NewPool(0), 1000)
	for range 10 {
		b.write(boardMSS)
		require.Len(t, b.drain(), 1)
		b.now = b.now.Add(time.Millisecond)
	}
	return b
}

// draft-cheng-iccrg-delivery-rate-estimation-02 3.2 and 3.3: what was delivered since
// the newest segment that has arrived was sent, over the longer of the time that its
// sending took and the time that its acknowledging took.
func TestRateExact(t *testing.T) {
	b := rateBoard(t)
	start := b.now.Add(-10 * time.Millisecond) // when the first was sent
	// A segment is acknowledged every 2 ms, the first one 20 ms after it was sent.
	for k := range 10 {
		b.now = start.Add(20*time.Millisecond + time.Duration(k)*2*time.Millisecond)
		b.ack(b.una.Add(boardMSS), 65535)
		r := &b.c.rate
		require.EqualValues(t, (k+1)*boardMSS, r.delivered)
		require.Equal(t, b.now, r.deliveredAt)
		// Nothing had been delivered when it was sent, at the first one's time.
		ackElapsed := b.now.Sub(start)
		want := int64(float64((k+1)*boardMSS) * float64(time.Second) / float64(ackElapsed))
		require.Equal(t, want, r.rate, "acknowledgment %d", k)
		require.Equal(t, start.Add(time.Duration(k)*time.Millisecond), r.firstSent)
	}
	b.end()
}

// 3.3: the send phase counts where acknowledgments come compressed.
func TestRateCompressedAcks(t *testing.T) {
	b := newBoard(t, 0, &Config{NoTimestamps: true, NoDelay: true}, stream.NewPool(0), 1000)
	send := func(n int) {
		for range n {
			b.write(boardMSS)
			require.Len(t, b.drain(), 1)
			b.now = b.now.Add(10 * time.Millisecond)
		}
	}
	send(4)
	b.now = b.now.Add(time.Millisecond)
	b.ack(b.una.Add(boardMSS), 65535) // from here on samples are of segments sent after it
	at := b.now
	send(5)
	first := b.c.rate.firstSent
	b.ack(b.nxt.Add(-boardMSS), 65535) // four at once
	b.now = b.now.Add(time.Microsecond)
	b.ack(b.nxt, 65535)
	r := &b.c.rate
	require.Positive(t, b.now.Sub(at))
	rec := r.firstSent // when the last one was sent
	interval := max(rec.Sub(first), b.now.Sub(at))
	require.LessOrEqual(t, r.rate, int64(float64(r.delivered)*float64(time.Second)/float64(interval)))
	require.Less(t, r.rate, int64(2*boardMSS*1000/10), "not faster than it was sent")
	b.end()
}

// 3.4: what was sent while the application had no more is marked, until that is
// delivered; such a sample counts only if it is a higher one.
func TestRateAppLimited(t *testing.T) {
	b := newBoard(t, 0, &Config{NoTimestamps: true, NoDelay: true}, stream.NewPool(0), 1000)
	require.True(t, b.c.Info().AppLimited, "an idle connection")
	b.write(5 * boardMSS)
	b.drain()
	require.True(t, b.c.Info().AppLimited)
	b.now = b.now.Add(10 * time.Millisecond)
	b.write(100 * boardMSS)
	b.drain()
	b.ack(b.una.Add(5*boardMSS), 65535)
	require.True(t, b.c.Info().AppLimited)
	b.drain()
	b.now = b.now.Add(10 * time.Millisecond)
	b.ack(b.una.Add(5*boardMSS), 65535)
	require.False(t, b.c.Info().AppLimited)
	b.drain()
	require.False(t, b.c.board.records.last().has(recordLimited))
	before := b.c.Info().DeliveryRate
	require.Positive(t, before)
	b.finish()
	b.end()
}

// A sample over less than the least round trip is none: the acknowledgment is of an
// earlier copy (3.3).
func TestRateTooShort(t *testing.T) {
	b := rateBoard(t)
	start := b.now.Add(-10 * time.Millisecond)
	b.now = start.Add(30 * time.Millisecond)
	b.ack(b.una.Add(boardMSS), 65535)
	require.Positive(t, b.c.rate.rate)
	var r rateState
	a := arrival{delivered: 1000}
	a.rate.take(&record{sent: 100, firstSent: 50, deliveredAt: 50})
	rate, interval := r.generate(clock.Time(120), &a, time.Microsecond)
	require.Zero(t, rate)
	require.Zero(t, interval)
	require.EqualValues(t, 1000, r.delivered)
	b.end()
}

// Of several segments that arrive at once the newest one counts: the one that knew of
// most deliveries, and of those the one that was sent last.
func TestRateNewest(t *testing.T) {
	var s rateSample
	s.take(&record{delivered: 500, sent: 10})
	s.take(&record{delivered: 400, sent: 20})
	require.EqualValues(t, 500, s.delivered)
	s.take(&record{delivered: 500, sent: 30, flags: recordLimited})
	require.EqualValues(t, 30, s.sent)
	require.True(t, s.limited)
}

// What SACKs tell is delivered once, whoever tells it again.
func TestRateSACK(t *testing.T) {
	b := rateBoard(t)
	b.now = b.now.Add(10 * time.Millisecond)
	b.ack(b.una, 65535, wire.SACKBlock{Start: uint32(b.una.Add(2 * boardMSS)), End: uint32(b.una.Add(4 * boardMSS))})
	require.EqualValues(t, 2*boardMSS, b.c.Info().Delivered)
	b.ack(b.una, 65535, wire.SACKBlock{Start: uint32(b.una.Add(boardMSS)), End: uint32(b.una.Add(5 * boardMSS))})
	require.EqualValues(t, 4*boardMSS, b.c.Info().Delivered)
	b.ack(b.una.Add(10*boardMSS), 65535)
	require.EqualValues(t, 10*boardMSS, b.c.Info().Delivered)
	b.end()
}
