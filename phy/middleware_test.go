package phy_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/internal/netns"
	"smolnet/netstack/wire"
	"smolnet/phy"
	"smolnet/phy/phytest"
)

// TestMiddleware: a device that is wrapped is a device still.
func TestMiddleware(t *testing.T) {
	wrappers := map[string]func(phy.Device) phy.Device{
		"pcap":   func(d phy.Device) phy.Device { return phy.NewPcap(d, io.Discard, phy.PcapConfig{}) },
		"tracer": func(d phy.Device) phy.Device { return phy.NewTracer(d, func([]byte) {}) },
		"fault":  func(d phy.Device) phy.Device { return phy.NewFault(d, phy.FaultConfig{}) },
		"all": func(d phy.Device) phy.Device {
			d = phy.NewFault(d, phy.FaultConfig{SizeLimit: 1 << 20, TxRateLimit: 1 << 30, RxRateLimit: 1 << 30})
			return phy.NewPcap(phy.NewTracer(d, func([]byte) {}), io.Discard, phy.PcapConfig{})
		},
	}
	for name, wrap := range wrappers {
		for below, cfg := range map[string]phy.PipeConfig{
			"ethernet": {Queue: 8},
			"offloads": {Medium: phy.MediumIP, TxChecksum: true, RxChecksum: true, MaxSuperFrame: 20000},
		} {
			suite := phytest.Suite{
				Frames: often(4000),
				Open: func(t *testing.T) (a, b phy.Device) {
					a, b = pipe(t, cfg)
					return wrap(a), wrap(b)
				},
			}
			t.Run(name+"/"+below, suite.Run)
			suite.Virtual = true
			t.Run(name+"/"+below+" in virtual time", suite.Run)
		}
		t.Run(name+"/loopback", func(t *testing.T) {
			phytest.Suite{Frames: often(4000), Open: func(*testing.T) (a, b phy.Device) {
				a = wrap(phy.Loopback(1500))
				return a, a
			}}.Run(t)
		})
	}
}

// ping4 is an echo request from 192.0.2.1 to 192.0.2.2, RFC 792.
var ping4 = []byte{
	0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0xf6, 0xdc, 192, 0, 2, 1, 192, 0, 2, 2,
	8, 0, 0xf7, 0xf8, 0, 1, 0, 6,
}

// echo turns an ICMP or ICMPv6 echo request into its reply.
func echo(b []byte) bool {
	switch {
	case b[0]>>4 == 4 && b[9] == 1 && b[20] == 8:
		swap(b[12:16], b[16:20])
		b[20] = 0
		b[22], b[23] = 0, 0
		sum := ^wire.Sum(b[20:], 0)
		b[22], b[23] = byte(sum>>8), byte(sum)
	case b[0]>>4 == 6 && b[6] == 58 && b[40] == 128:
		swap(b[8:24], b[24:40])
		b[40] = 129
		sum := wire.UpdateChecksum16(uint16(b[42])<<8|uint16(b[43]), 128<<8|uint16(b[41]), 129<<8|uint16(b[41]))
		b[42], b[43] = byte(sum>>8), byte(sum)
	default:
		return false
	}
	return true
}

func swap(a, b []byte) {
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}

// send sends data as one frame.
func send(t testing.TB, d phy.Device, data []byte) {
	t.Helper()
	b, err := d.TxBuffer()
	require.NoError(t, err)
	require.NoError(t, d.Commit(copy(b, data), phy.Offload{}))
	require.NoError(t, d.Flush())
}

// conversation sends a frame from d, and one to it from its peer.
func conversation(t *testing.T, d, peer phy.Device, first, second []byte) {
	t.Helper()
	send(t, d, first)
	send(t, peer, second)
	f, err := d.Receive()
	require.NoError(t, err)
	require.Equal(t, second, f.Data)
}

func TestPcapBytes(t *testing.T) {
	stamp := time.Unix(1_700_000_000, 123_456_789)
	now := func() time.Time { return stamp }
	out, in := ping4, append([]byte{0x45}, ping4[1:]...)
	in[20] = 0
	record := func(fraction uint32, data []byte) []byte {
		b := binary.LittleEndian.AppendUint32(nil, 1_700_000_000)
		for _, v := range []uint32{fraction, uint32(len(data)), uint32(len(data))} {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		return append(b, data...)
	}
	const (
		nano  = "4d3cb2a1 0200 0400 00000000 00000000 00000400 65000000"
		micro = "d4c3b2a1 0200 0400 00000000 00000000 00000400 65000000"
		ether = "4d3cb2a1 0200 0400 00000000 00000000 00000400 01000000"
	)
	for name, test := range map[string]struct {
		medium phy.Medium
		cfg    phy.PcapConfig
		header string
		want   [][]byte
	}{
		"both":         {phy.MediumIP, phy.PcapConfig{Now: now}, nano, [][]byte{record(123_456_789, out), record(123_456_789, in)}},
		"rx":           {phy.MediumIP, phy.PcapConfig{Now: now, Mode: phy.PcapRxOnly}, nano, [][]byte{record(123_456_789, in)}},
		"tx":           {phy.MediumIP, phy.PcapConfig{Now: now, Mode: phy.PcapTxOnly}, nano, [][]byte{record(123_456_789, out)}},
		"microseconds": {phy.MediumIP, phy.PcapConfig{Now: now, Microseconds: true}, micro, [][]byte{record(123_456, out), record(123_456, in)}},
		"ethernet":     {phy.MediumEthernet, phy.PcapConfig{Now: now}, ether, [][]byte{record(123_456_789, out), record(123_456_789, in)}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pipe(t, phy.PipeConfig{Medium: test.medium})
			var file bytes.Buffer
			p := phy.NewPcap(a, &file, test.cfg)
			conversation(t, p, b, out, in)
			require.Empty(t, file.Bytes(), "gathered until the device is quiet")
			require.NoError(t, p.Wait(time.Nanosecond))
			var header []byte
			_, err := fmt.Sscanf(strings.ReplaceAll(test.header, " ", ""), "%x", &header)
			require.NoError(t, err)
			want := append(header, bytes.Join(test.want, nil)...)
			require.Equal(t, want, file.Bytes())
			require.NoError(t, p.Close())
			require.NoError(t, p.Close())
			require.Equal(t, want, file.Bytes())
			require.NoError(t, p.Err())
		})
	}
}

// TestPcapCloseCompletes: what is in the buffer when the device is closed gets
// to the file, what is refused does not.
func TestPcapCloseCompletes(t *testing.T) {
	a, _ := pipe(t, phy.PipeConfig{Medium: phy.MediumIP})
	var file bytes.Buffer
	p := phy.NewPcap(a, &file, phy.PcapConfig{})
	send(t, p, ping4)
	_, err := p.TxBuffer()
	require.NoError(t, err)
	require.ErrorIs(t, p.Commit(1501, phy.Offload{}), phy.ErrFrameLength)
	require.NoError(t, p.Close())
	require.ErrorIs(t, p.Commit(28, phy.Offload{}), phy.ErrClosed)
	require.Len(t, file.Bytes(), 24+16+28)
}

// brokenWriter takes a number of writes and fails the others.
type brokenWriter struct{ good, calls int }

var errDiskFull = errors.New("disk full")

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.calls++; w.calls > w.good {
		return 0, errDiskFull
	}
	return len(b), nil
}

func TestPcapWriterFails(t *testing.T) {
	a, b := pipe(t, phy.PipeConfig{Medium: phy.MediumIP, Queue: 1000})
	var told []error
	w := &brokenWriter{good: 1}
	p := phy.NewPcap(a, w, phy.PcapConfig{OnError: func(err error) { told = append(told, err) }})
	big := make([]byte, 1500)
	for range 500 { // many times the buffer
		conversation(t, p, b, big, big)
		require.NoError(t, p.Wait(time.Nanosecond))
	}
	require.ErrorIs(t, p.Err(), errDiskFull)
	require.Equal(t, []error{errDiskFull}, told, "once")
	require.Equal(t, 2, w.calls, "nothing is written after an error")
	require.NoError(t, p.Close())
}

// TestPcapIsReadByTshark, with its times and contents, both link types.
func TestPcapIsReadByTshark(t *testing.T) {
	netns.NeedPrograms(t, "tshark")
	frame := append([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0}, ping4...)
	for _, test := range []struct {
		cfg  phy.PipeConfig
		send []byte
		nano bool
		want string
	}{
		{phy.PipeConfig{}, frame, true, "1700000000.123456789|eth:ethertype:ip:icmp|42|192.0.2.1|192.0.2.2|8\n"},
		{phy.PipeConfig{Medium: phy.MediumIP}, ping4, true, "1700000000.123456789|raw:ip:icmp|28|192.0.2.1|192.0.2.2|8\n"},
		{phy.PipeConfig{Medium: phy.MediumIP}, ping4, false, "1700000000.123456000|raw:ip:icmp|28|192.0.2.1|192.0.2.2|8\n"},
	} {
		path := t.TempDir() + "/test.pcap"
		file, err := os.Create(path)
		require.NoError(t, err)
		a, b := pipe(t, test.cfg)
		p := phy.NewPcap(a, file, phy.PcapConfig{
			Now:          func() time.Time { return time.Unix(1_700_000_000, 123_456_789) },
			Microseconds: !test.nano,
		})
		conversation(t, p, b, test.send, test.send)
		require.NoError(t, p.Close())
		require.NoError(t, file.Close())
		out, err := exec.CommandContext(t.Context(), "tshark", "-r", path, "-T", "fields", "-E", "separator=|",
			"-e", "frame.time_epoch", "-e", "frame.protocols", "-e", "frame.len", "-e", "ip.src", "-e", "ip.dst", "-e", "icmp.type",
		).Output()
		require.NoError(t, err)
		require.Equal(t, test.want+test.want, string(out))
	}
}

func TestTracer(t *testing.T) {
	a, b := pipe(t, phy.PipeConfig{Medium: phy.MediumIP, TxChecksum: true, MaxSuperFrame: 9000})
	var lines []string
	tr := phy.NewTracer(a, func(line []byte) { lines = append(lines, string(line)) })
	reply := bytes.Clone(ping4)
	require.True(t, echo(reply))
	conversation(t, tr, b, ping4, reply)
	_, err := tr.TxBuffer()
	require.NoError(t, err)
	require.ErrorIs(t, tr.Commit(0, phy.Offload{}), phy.ErrFrameLength)
	require.NoError(t, tr.Commit(28, phy.Offload{NeedsChecksum: true, GSOType: phy.GSOTCPv4, SegmentSize: 999}))
	require.Len(t, lines, 3, "what is refused is not traced")
	require.Regexp(t, `^tx IPv4 192\.0\.2\.1 > 192\.0\.2\.2.*ICMP echo id 1 seq 6`, lines[0])
	require.Regexp(t, `^rx IPv4 192\.0\.2\.2 > 192\.0\.2\.1.*ICMP echo reply id 1 seq 6`, lines[1])
	require.Regexp(t, `^tx .*, in segments of 999$`, lines[2])
}

// TestTracerWhen: a log whose level changes while frames pass.
func TestTracerWhen(t *testing.T) {
	a, b := pipe(t, phy.PipeConfig{Medium: phy.MediumIP})
	var level slog.LevelVar
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: &level}))
	tr := phy.NewTracer(a, func(line []byte) { logger.Debug(string(line)) })
	tr.When = func() bool { return logger.Enabled(t.Context(), slog.LevelDebug) }
	conversation(t, tr, b, ping4, ping4)
	require.Empty(t, log.String(), "not at this level")
	level.Set(slog.LevelDebug)
	conversation(t, tr, b, ping4, ping4)
	require.Regexp(t, `level=DEBUG msg="tx IPv4 192\.0\.2\.1 > .*"\n.* msg="rx IPv4 .*"\n$`, log.String())
}

// TestTracerEthernet: the medium decides how a frame is read.
func TestTracerEthernet(t *testing.T) {
	a, b := pipe(t, phy.PipeConfig{})
	var line string
	tr := phy.NewTracer(a, func(b []byte) { line = string(b) })
	send(t, b, append([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0}, ping4...))
	_, err := tr.Receive()
	require.NoError(t, err)
	require.Regexp(t, `^rx 02:00:00:00:00:01 > 02:00:00:00:00:02 .*192\.0\.2\.1 > 192\.0\.2\.2`, line)
}
