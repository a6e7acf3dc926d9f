package congestion

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// prrSender sends whole segments as a window allows it, with pipe counted as in RFC
// 6937 3.1.
type prrSender struct {
	r    *Reno
	pipe int
}

// enter begins a recovery by an acknowledgment that delivers one of prior segments
// in flight and shows that lost of them are.
func (s *prrSender) enter(lost, prior int) string {
	s.pipe = prior - 1 - lost
	s.r.OnCongestion(testNow, Loss, s.pipe*testMSS)
	return s.ack(Ack{Delivered: testMSS, Lost: lost * testMSS, PriorInFlight: prior * testMSS})
}

// ack returns a letter for each segment that is sent.
func (s *prrSender) ack(a Ack) string {
	a.Phase, a.InFlight, a.WindowLimited = Recovery, s.pipe*testMSS, true
	s.r.OnAck(testNow, a)
	sent := ""
	for (s.pipe+1)*testMSS <= s.r.Window() {
		s.pipe++
		s.r.OnSend(testNow, testMSS, s.pipe*testMSS)
		sent += "S"
	}
	return sent
}

// RFC 6937 3.1, first example: cwnd = 20, one loss, ssthresh = 10. The first two
// duplicate acknowledgments sent one new segment each (limited transmit), so that 20
// are in flight when the third comes.
func TestPRRSingleLoss(t *testing.T) {
	s := prrSender{r: at(new(Reno), 20, 20)}
	sent := []string{s.enter(1, 20)}
	pipes := []int{s.pipe}
	for range 16 {
		s.pipe--
		sent = append(sent, s.ack(Ack{Delivered: testMSS}))
		pipes = append(pipes, s.pipe)
	}
	require.Equal(t, "S,,S,,S,,S,,S,,S,,S,,S,,", strings.Join(sent, ","), "every second one")
	require.Equal(t, []int{19, 18, 18, 17, 17, 16, 16, 15, 15, 14, 14, 13, 13, 12, 12, 11, 10}, pipes)
	s.r.OnRecovered(testNow, 0)
	require.Equal(t, 10*testMSS, s.r.Window())
}

// RFC 6937 3.1, second example: 15 of 20 are lost. The RFC has the conservative bound
// where an acknowledgment is no SafeACK (RFC 9937 6.2), and slow start where it is.
func TestPRRBurst(t *testing.T) {
	s := prrSender{r: at(new(Reno), 20, 20)}
	sent := []string{s.enter(15, 20)}
	for range 2 {
		s.pipe--
		sent = append(sent, s.ack(Ack{Delivered: testMSS}))
	}
	require.Equal(t, []string{"S", "S", "S"}, sent, "PRR-CRB: R R R")
	require.Equal(t, 4, s.pipe-1, "before it is sent: 4 4 4")

	for _, c := range []struct {
		ack  Ack
		want string
		why  string
	}{
		{Ack{Delivered: testMSS, Acked: testMSS}, "SS", "PRR-SSRB: 2R"},
		{Ack{Delivered: testMSS, Acked: testMSS, Lost: testMSS}, "S", "further loss"},
		{Ack{Delivered: testMSS, Acked: 3 * testMSS}, "SS", "PRR-SSRB again"},
		{Ack{}, "", "nothing is delivered"},
		{Ack{Delivered: 4 * testMSS, Acked: 4 * testMSS}, "SSSSS", "as much as is delivered, and one"},
	} {
		s.pipe -= c.ack.Delivered / testMSS
		require.Equal(t, c.want, s.ack(c.ack), c.why)
	}
	for range 20 {
		s.pipe--
		s.ack(Ack{Delivered: testMSS, Acked: testMSS})
	}
	require.Equal(t, 10, s.pipe, "ssthresh and no more")
}

// RFC 6937 3: "banked" chances. What could not be sent at first is made good.
func TestPRRStall(t *testing.T) {
	r := at(new(Reno), 20, 20)
	r.OnCongestion(testNow, Loss, 18*testMSS)
	for i := range 12 {
		pipe := (18 - i) * testMSS
		r.OnAck(testNow, Ack{Phase: Recovery, Delivered: testMSS, PriorInFlight: pipe + 2*testMSS, InFlight: pipe})
	}
	require.Equal(t, 10*testMSS, r.Window(), "seven in flight, twelve delivered, nothing sent: three")
}

// RFC 9937 6.2: "Force a fast retransmit upon entering recovery".
func TestPRRForcedRetransmit(t *testing.T) {
	r := at(new(Reno), 20, 20)
	r.OnCongestion(testNow, Loss, 15*testMSS)
	require.Equal(t, 10*testMSS, r.Window(), "the target is a limit")
	r.OnAck(testNow, Ack{Phase: Recovery, Delivered: 1, PriorInFlight: 20 * testMSS, InFlight: 15 * testMSS})
	require.Equal(t, 16*testMSS, r.Window())
	r.OnSend(testNow, testMSS, 16*testMSS)
	r.OnAck(testNow, Ack{Phase: Recovery, Delivered: 1, InFlight: 16 * testMSS})
	require.Equal(t, 16*testMSS, r.Window(), "once")

	r = at(new(Reno), 20, 20)
	r.OnCongestion(testNow, Loss, 4*testMSS)
	require.Equal(t, 5*testMSS, r.Window(), "by a timer, without an acknowledgment")
	r.OnSend(testNow, testMSS, 5*testMSS)
	r.OnAck(testNow, Ack{Phase: Recovery, Lost: 3 * testMSS, PriorInFlight: 5 * testMSS, InFlight: 2 * testMSS})
	require.Equal(t, 5*testMSS, r.Window(), "nothing is delivered")
}

// A mark reduces the window at once, RFC 3168 6.1.2; a loss in the same round trip
// begins to be repaired with what is in flight then.
func TestMarkReducesAtOnce(t *testing.T) {
	r := at(new(Reno), 20, 20)
	r.OnCongestion(testNow, Mark, 19*testMSS)
	require.Equal(t, 10*testMSS, r.Window())
	pipe, sent := 20, 0
	for range 20 {
		pipe--
		r.OnAck(testNow, Ack{Phase: Reducing, Acked: testMSS, Delivered: testMSS, PriorInFlight: (pipe + 1) * testMSS, InFlight: pipe * testMSS})
		for ; (pipe+1)*testMSS <= r.Window(); pipe++ {
			r.OnSend(testNow, testMSS, (pipe+1)*testMSS)
			sent++
		}
	}
	require.Equal(t, 10, sent)
	require.Equal(t, 10, pipe)
	a := Ack{Phase: Recovery, Acked: testMSS, Delivered: testMSS, Lost: testMSS, PriorInFlight: 10 * testMSS, InFlight: 8 * testMSS}
	r.OnAck(testNow, a)
	require.Equal(t, 9*testMSS, r.Window(), "the lost one goes out again")
	r.OnRecovered(testNow, 10*testMSS)
	require.Equal(t, 10*testMSS, r.Window())
}
