package script

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const header = "# A title.\n# RFC 9293 3.1: \"a sentence of some length\"\n"

// opened is how most tests begin.
const opened = "connect\n> SYN 0 win 1000 mss 1460 sackok ts 0:0 wscale 7 uto 30 fastopen request ect0\n"

func run(t *testing.T, body string) error {
	t.Helper()
	s, err := Parse("a.txt", []byte(header+body))
	require.NoError(t, err)
	return s.Run(newFake)
}

// What holds passes.
func TestPasses(t *testing.T) {
	for _, body := range []string{
		opened,
		"connect\n> SYN 0 ... ect0\n",
		"connect\n> SYN 0 win * ts ... ect0\nhears connected\n",
		opened + "< 1+100 ack 1\n> 1 ack 101 sack 5:9 ect0\nread 60\nread 40\nread nothing\n",
		opened + "< 1+10 ack 1 urg 3\n> 1 ack 11 sack 5:9 ect0\n> 1 ack 11 ... ect0\n",
		opened + "< 1+10 ack 1\nand < 11+10 ack 1\n> 1 ack 11 sack 5:9 ect0\n> 1 ack 21 sack 5:9 ect0\n",
		opened + "< SYN 0 ack 1\n> 1 ack next sack 5:9 ect0\n< next+10 ack next\n> next ack 11 ... ect0\n",
		opened + "write 100\n> PSH 1+100 ack 0 ect0\n+1s > PSH 1+100 ack 0 ect0\n@2s > PSH 1+100 ack 0 ect0\n+* > PSH 1+100 ack 0 ect0\ndeadline never\nsilent 1h\n",
		opened + "write 100\n> PSH 1+100 ack 0 ect0\ndeadline 1s\n+990ms~20ms > PSH 1+100 ack 0 ect0\n@1500ms info writes 1\n",
		opened + "write 600 takes 500\n> PSH 1+500 ack 0 ect0\n",
		opened + "write 100\n> PSH 1+100 ack 0 ect0\nrepeat 3\n  +1s > PSH 1+100 ack 0 ect0\nend\nsilent 10s\n",
		opened + "close\nfails connection-timed-out\nwrite 10 fails broken-pipe\nread fails connection-timed-out\n",
		opened + "icmp host-unreachable quoting 5\nfails no-route-to-host\ninfo writes 5\n",
		opened + "< 1001+1 ack 1\n> 1 ack 1002 ... ect0\n",
		opened + "info send-mss 1460, rtt-var 57500us, mode slow-start, control new-reno, timestamps off, send-mss > 1459, send-mss >= 1460, send-mss < 1461, send-mss <= 1460, writes != 1\n",
		opened + "mtu 1000\ninfo sendmss 960\n",
		opened + "set pace 3ms 5 on\ninfo rtt-var 3ms, send-mss 5, timestamps on\n",
		opened + "abort\n> RST ECE CWR 1 win 0 urg 7 cut 100 to 4000\n",
		opened + "works\n",
		opened + "< PSH 1+2*10 ack 1\n> 1 ack 11 sack 5:9 ect0\n> 1 ack 21 sack 5:9 ect0\nread 20\n",
		opened + "< 1+2*10 ack +5\n> 1 ack 11 ... ect0\n> 1 ack 21 ... ect0\nread 20\n",
		opened + "write 100\nsends 100\n+1s > PSH 1+100 ack 0 ect0\n+1s > PSH next+100 ack 0 ect0\n+1s > PSH 1+100 ack 0 ect0\n+1s sends 0\n",
		opened + "write 100\nsends 100\n< 1 ack +5 times 3\n> 101 ack 1 ... ect0\n> 101 ack 1 ... ect0\n> 101 ack 1 ... ect0\n+1s > PSH 1+100 ack 1 ect0\n+1s > PSH 1+100 ack 1 ect0\n+1s > PSH 1+100 ack 1 ect0\n",
		"connect fastopen\n> SYN 0 ... fastopen request ect0\n", "connect fastopen request\n> SYN 0 ... ect0\n", "connect fastopen 00112233 mss 9\n> SYN 0 ... ect0\n",
		"set min-rto 250ms\nset retries off\nset no-delay on\nset deep.max-mss 900\n" + opened + "stats min-rto 250ms, retries -1, no-delay on, deep.maxmss 900\n",
	} {
		require.NoError(t, run(t, body), body)
	}
}

// What does not hold is caught, with the line, what was wanted and what came.
func TestCaught(t *testing.T) {
	type wrong struct {
		body string
		line int
		want []string
	}
	tests := []wrong{
		{opened + "info send-mss 1459\n", 5, []string{"want send-mss = 1459", "got  send-mss = 1460"}},
		{opened + "info send-mss > 1460\n", 5, []string{"want send-mss > 1460"}},
		{opened + "info send-mss >= 1461\n", 5, []string{"send-mss = 1460"}},
		{opened + "info send-mss < 1460\n", 5, []string{"send-mss = 1460"}},
		{opened + "info send-mss <= 1459\n", 5, []string{"send-mss = 1460"}},
		{opened + "info send-mss != 1460\n", 5, []string{"send-mss = 1460"}},
		{opened + "info rtt-var 57ms\n", 5, []string{"got  rtt-var = 57.5ms"}},
		{opened + "info mode idle\n", 5, []string{"got  mode = slow-start"}},
		{opened + "info control cubic\n", 5, []string{"got  control = new-reno"}},
		{opened + "info timestamps on\n", 5, []string{"got  timestamps = off"}},
		{opened + "info send-mss 1460, writes 1\n", 5, []string{"got  writes = 0"}},
		{opened + "info no-such 1\n", 5, []string{`no "no-such"`}},
		{opened + "info mode no-such\n", 5, []string{`called "no-such"`}},
		{opened + "info control > a\n", 5, []string{"only = and != make sense"}},
		{opened + "info timestamps > on\n", 5, []string{"only = and != make sense"}},
		{opened + "info send-mss 1s\n", 5, []string{"is no number"}},
		{opened + "info rtt-var 5\n", 5, []string{"is no duration"}},
		{opened + "info timestamps maybe\n", 5, []string{"should be on or off"}},
		{opened + "set wrong blind\ninfo writes 0\n", 6, []string{"nothing to look at"}},
		{opened + "stats retries 3\n", 5, []string{"got  retries = 0"}},
		{opened + "fails connection-timed-out\n", 5, []string{"want connection-timed-out", "got  ok"}},
		{opened + "close\nworks\n", 6, []string{"got  connection-timed-out"}},
		{opened + "hears readable\n", 5, []string{"want readable", "got  connected"}},
		{opened + "hears connected\nhears connected\n", 6, []string{"want connected"}},
		{opened + "deadline 1s\n", 5, []string{"want 1s", "got  never"}},
		{opened + "write 1\n> PSH 1+1 ack 0 ect0\ndeadline never\n", 7, []string{"want never", "got  1s"}},
		{opened + "write 1\n> PSH 1+1 ack 0 ect0\ndeadline 900ms\n", 7, []string{"want 900ms", "got  1s"}},
		{opened + "read 1\n", 5, []string{"want 1 bytes", "got  0 bytes, operation-would-block"}},
		{opened + "read end\n", 5, []string{"want 0 bytes, EOF"}},
		{opened + "read fails connection-timed-out\n", 5, []string{"operation-would-block"}},
		{opened + "< 1+10 ack 1\n> 1 ack 11 ... ect0\nread nothing\n", 7, []string{"got  1 bytes"}},
		{opened + "< 1+10 ack 1\n> 1 ack 11 ... ect0\nread 11\n", 7, []string{"got  10 bytes"}},
		{opened + "< 2+10 ack 1\n> 1 ack 12 ... ect0\nread 10\n", 7, []string{"the byte at 0 is not what the peer sent"}},
		{opened + "write 600\n", 5, []string{"want 600 bytes", "got  500 bytes"}},
		{opened + "write 600 takes 499\n", 5, []string{"got  500 bytes"}},
		{opened + "write 6 fails broken-pipe\n", 5, []string{"want 0 bytes, broken-pipe"}},
		{opened + "close\nwrite 10\n", 6, []string{"broken-pipe"}},
		{opened + "shutdown read\n", 5, []string{"no shutdown read"}},
		{opened + "set pace 3ms -1 on\n", 5, []string{"pace below zero"}},
		{opened + "set pace 3ms\n", 5, []string{"needs more values"}},
		{opened + "set pace 3ms 1 on 4\n", 5, []string{`no use for "4"`}},
		{opened + "set nothing 3ms\n", 5, []string{`nothing called "nothing"`}},
		{opened + "set min-rto 1s 2s\n", 5, []string{"needs one value"}},
		{opened + "set min-rto soon\n", 5, []string{"is no duration"}},
		{opened + "set deep.max-mss 70000\n", 5, []string{"is no number"}},
		{opened + "< FIN PSH 1 ack 1\n", 5, []string{"FIN and PSH are too much"}},
		{opened + "set wrong error\n", 5, []string{"it breaks"}},
		{opened + "set wrong endless\n", 5, []string{"no end to what is sent"}},
		{opened + "set wrong late\nwrite 1\nsilent 1s\n", 7, []string{"a deadline is due"}},
		{opened + "set wrong data\nwrite 1\n> PSH 1+1 ack 0 ect0\n+1s > PSH 1+1 ack 0 ect0\n", 7, []string{"not what the user wrote"}},
		{opened + "iss 7\n", 5, []string{"comes before everything"}},
		{opened + "@0s works\n+1s works\n@500ms works\n", 7, []string{"it is later already"}},

		// Silence, and time.
		{"connect\n", 4, []string{"unexpected segment", "want nothing", "got  > SYN 0"}},
		{"connect\nwrite 1\n", 4, []string{"unexpected segment"}},
		{"connect\nsilent 1s\n", 4, []string{"unexpected segment"}},
		{opened + "write 1\n> PSH 1+1 ack 0 ect0\nsilent 1s\n", 7, []string{"unexpected segment", "got  > PSH 1+1"}},
		{opened + "write 1\n> PSH 1+1 ack 0 ect0\n+1s < 1 ack 1\n", 7, []string{"unexpected segment"}},
		{opened + "> 1 ack 1\n", 5, []string{"nothing was sent", "want > 1 ack 1", "next deadline never"}},
		{opened + "+* > 1 ack 1\n", 5, []string{"nothing was sent"}},
		{opened + "write 1\n> PSH 1+1 ack 0 ect0\n+997ms > PSH 1+1 ack 0 ect0\n", 7, []string{"nothing was sent", "next deadline 1.000"}},
		{opened + "write 1\n> PSH 1+1 ack 0 ect0\n+1003ms > PSH 1+1 ack 0 ect0\n", 7, []string{"time: it was expected at 1.003"}},
		{opened + "write 1\n> PSH 1+1 ack 0 ect0\n+1001ms~0s > PSH 1+1 ack 0 ect0\n", 7, []string{"time: it was expected"}},
		{opened + "write 1\n+1s > PSH 1+1 ack 0 ect0\n", 6, []string{"time: it was expected"}},
		{opened + "write 1\n> PSH 1+1 ack 0 ect0\n@1100ms > PSH 1+1 ack 0 ect0\n", 7, []string{"time: it was expected"}},
		{opened + "repeat 2\n  < next+1 ack 1\n  > 1 ack 1 ... ect0\nend\n", 7, []string{"(turn 2)", "differs in: ack"}},
		{"works\n", 0, nil},
		{opened + "< 1+2*10 ack 1\n> 1 ack 11 ... ect0\n", 7, []string{"unexpected segment", "ack 21"}},
		{opened + "write 100\n> PSH 1+2*100 ack 0 ect0\n", 6, []string{"differs in: number of segments"}},
		{opened + "write 100\nsends 99\n", 6, []string{"want 99 bytes", "got  100 bytes"}},
		{opened + "write 100\nsends 100\n+1s sends 100\n", 7, []string{"want new data", "got  > PSH 1+100"}},
	}
	syn := "SYN 0 win 1000 mss 1460 sackok ts 0:0 wscale 7 uto 30 fastopen request ect0"
	for _, c := range [][3]string{
		{"SYN 0", "SYN FIN 0", "flags"}, {"SYN 0", "SYN 1", "sequence number"}, {"SYN 0", "SYN 0+1", "length"},
		{"SYN 0", "SYN 0 ack 0", "flags"}, {"win 1000", "win 999", "window"}, {"mss 1460", "mss 1400", "mss"},
		{" mss 1460", "", "mss"}, {" sackok", "", "sackok"}, {" ts 0:0", "", "ts"}, {"ts 0:0", "ts 1:0", "timestamp"},
		{"ts 0:0", "ts 0:1", "timestamp's echo"}, {"wscale 7", "wscale 6", "wscale"}, {" wscale 7", "", "wscale"},
		{" uto 30", "", "uto"}, {"uto 30", "uto 31", "uto"}, {" fastopen request", "", "fastopen"},
		{"fastopen request", "fastopen 0011223344556677", "fastopen"}, {" ect0", "", "ECN codepoint"}, {"ect0", "ce", "ECN codepoint"},
		{"ect0", "ect0 sack 1:2", "sack"}, {"ect0", "ect0 urg 1", "flags, urgent pointer"}, {"ect0", "ect0 cut 7", "cut"}, {"ect0", "ect0 to 5", "port"},
		{"mss 1460", "mss 1461 ...", "mss"}, {"wscale 7", "wscale 6 ...", "wscale"},
	} {
		require.Contains(t, syn, c[0])
		tests = append(tests, wrong{"connect\n> " + strings.Replace(syn, c[0], c[1], 1) + "\n", 4, []string{"differs in: " + c[2]}})
	}
	tests = append(tests,
		wrong{opened + "< 1+1 ack 1\n> 1 ack 2 sack 5:8 ect0\n", 6, []string{"differs in: sack"}},
		wrong{opened + "< 1+1 ack 1\n> 1 ack 2 ect0\n", 6, []string{"differs in: sack"}},
		wrong{opened + "< 1+1 ack 1\n> 1 ack 3 sack 5:9 ect0\n", 6, []string{"differs in: ack"}},
		wrong{opened + "abort\n> RST ECE 1 urg 7 cut 100 to 4000\n", 6, []string{"differs in: flags"}},
		wrong{opened + "abort\n> RST ECE CWR 1 urg 7 cut 100\n", 6, []string{"differs in: port"}},
	)
	for _, c := range tests {
		err := run(t, c.body)
		if c.want == nil {
			require.NoError(t, err, c.body)
			continue
		}
		var e *Error
		require.ErrorAs(t, err, &e, c.body)
		require.Equal(t, c.line, e.Line, "%s\n%v", c.body, err)
		for _, w := range c.want {
			require.Contains(t, err.Error(), w, c.body)
		}
		require.Contains(t, err.Error(), `"A title."`)
		require.Contains(t, err.Error(), "now", "the transcript")
	}
}

// Both starting points are tried, unless the script chooses.
func TestStarts(t *testing.T) {
	count := 0
	spoilt := func(env Env) (Subject, error) {
		count++
		f, err := newFake(env)
		if env.ISS != starts[0].iss {
			f.(*fake).wrong = "error"
		}
		return f, err
	}
	s, err := Parse("a.txt", []byte(header+opened))
	require.NoError(t, err)
	require.ErrorContains(t, s.Run(spoilt), "begun with iss 4294967280")
	require.Equal(t, 2, count)
	s, err = Parse("a.txt", []byte(header+"iss 1000000\nirs 3\n"+opened))
	require.NoError(t, err)
	require.NoError(t, s.Run(spoilt))
	require.Equal(t, 3, count)
	_, err = Parse("a.txt", []byte(header+"rtt 1s\ntolerance 1ms\n"))
	require.NoError(t, err)
	require.ErrorContains(t, run(t, "rtt 1s\n"), "never comes to a connection")
}

// A script without a title or a sentence is refused.
func TestHeader(t *testing.T) {
	for _, text := range []string{
		"", "connect\n", "#\nconnect\n", "# Title.\nconnect\n", "# RFC 9293 3.1: \"a sentence of it\"\nconnect\n",
		"# Title.\n# RFC 9293: \"a sentence of it\"\nconnect\n", "# Title.\n# RFC 9293 3.1: \"short\"\nconnect\n",
		"# Title.\n# RFC 9293 3.1, a sentence of it\nconnect\n", "# Title.\n\n# RFC 9293 3.1: \"a sentence of it\"\nconnect\n",
	} {
		_, err := Parse("a.txt", []byte(text))
		require.ErrorContains(t, err, "a.txt:1: ", text)
	}
	s, err := Parse("a.txt", []byte("# Title.\n# RFC 9293 MUST-58, 3.8.6.3, once more: \"a sentence\n# of it\" and RFC 5482 Abstract: \"another sentence\"\n\nconnect\n"))
	require.NoError(t, err)
	require.Equal(t, "Title.", s.Title)
	require.Equal(t, []Citation{{"9293", "3.8.6.3", "a sentence of it"}, {"5482", "Abstract", "another sentence"}}, s.Proves)
}

// What cannot be read is refused with its line.
func TestParseErrors(t *testing.T) {
	for line, want := range map[string]string{
		"go":                                  `no command "go"`,
		"connect now":                         "connect needs nothing",
		"connect fastopen 0":                  "fastopen needs request",
		"connect fastopen request 9":          "needs a cookie, and mss",
		"connect fastopen request mss x":      "mss needs a number",
		"sends more":                          "is no number of bytes",
		"+1s":                                 "nothing follows +1s",
		"> 1 ack +1":                          "has a number, or next",
		"> 1 ack 1 times 2":                   "a line of its own",
		"< 1+5 ack 1 times 2":                 "is for segments without data",
		"< 1+1*5 ack 1":                       "is no row of segments",
		"< 1+2*0 ack 1":                       "is no length of data",
		"< SYN 1+2*5":                         "is no row of segments",
		"+1 connect":                          "is no time",
		"@-1s connect":                        "is no time",
		"+1s~x > 1 ack 1":                     "is no tolerance",
		"+* connect":                          "+* stands before",
		"and > 1 ack 1":                       "and joins what happens",
		"and info state x":                    "and joins what happens",
		"and connect":                         "no step before",
		"end":                                 "end without repeat",
		"repeat 0":                            "repeat needs a number",
		"repeat 2":                            "repeat without end",
		"<":                                   "< needs a segment",
		"< SYN":                               "needs a sequence number",
		"< x":                                 "is no sequence number",
		"< 1+x ack 1":                         "is no length",
		"< 1+70000 ack 1":                     "is no length",
		"< 1":                                 "is called none",
		"< none 1 ack 1":                      "is called none",
		"< 1 ack":                             "is no sequence number",
		"< 1 ack 1 win":                       "win needs a number",
		"< 1 ack 1 win 65536":                 "win needs a number",
		"< 1 ack 1 win *":                     "leaves nothing open",
		"< 1 ack 1 ts *:1":                    "leaves nothing open",
		"< 1 ack 1 win 1 win 2":               "twice",
		"< 1 ack 1 mss 0":                     "mss needs a number",
		"< 1 ack 1 sack 1":                    "is no SACK block",
		"< 1 ack 1 sack 1:2,3:4,5:6,7:8,9:10": "do not fit",
		"< 1 ack 1 ts 1:x":                    "is no timestamp",
		"< 1 ack 1 fastopen 12":               "fastopen needs",
		"< 1 ack 1 ect0 ce":                   "one codepoint",
		"< 1 ack 1 hat 3":                     "nothing that a segment has",
		"< 1 ack 1 to 5":                      "come from",
		"> 1 ack 1 from 5":                    "come from",
		"iss next":                            "iss needs a number",
		"rtt soon":                            "is no duration",
		"peer SYN":                            "nothing that a segment has",
		"peer win *":                          "peer needs",
		"peer ack 1":                          "peer needs",
		"write x":                             "is no number of bytes",
		"write 1 takes":                       "write needs",
		"write 1 takes x":                     "is no number of bytes",
		"write 1 fails x":                     "no error called",
		"read x":                              "is no number of bytes",
		"read 1 2":                            "read needs",
		"read fails x":                        "no error called",
		"shutdown all":                        "shutdown needs read or write",
		"icmp x":                              "no error called",
		"icmp too-big":                        "needs an MTU",
		"icmp net-unreachable of 5":           "icmp needs",
		"icmp net-unreachable quoting x":      "is no sequence number",
		"info state":                          "no field and value",
		"info state ~ x":                      "is no comparison",
		"fails x":                             "no error called",
		"deadline soon":                       "is no duration",
		"mtu -1":                              "is no number of bytes",
	} {
		_, err := Parse("a.txt", []byte(header+line+"\n"))
		require.ErrorContains(t, err, want, line)
		require.ErrorContains(t, err, "a.txt:3: ", line)
	}
	_, err := Parse("a.txt", []byte(header))
	require.ErrorContains(t, err, "without a step")
	_, err = Parse("a.txt", []byte(header+strings.Repeat("connect\n", maxLines)))
	require.ErrorContains(t, err, "more than 2000 lines")
	_, err = Parse("a.txt", []byte(header+strings.Repeat("repeat 2\n", maxNesting+1)))
	require.ErrorContains(t, err, "deep at most")
}

// A segment is written as it is read.
func TestRoundTrip(t *testing.T) {
	for _, text := range []string{
		"1 ack 1", "none 5", "SYN FIN RST PSH ECE CWR AE 1+5 ack next win 7 urg 9", "next+1460 ack -5", "SYN 0 mss 1460 sackok ts 5:* wscale 7 ...",
		"1 ack 1 win * sack 1:2,-3:4 uto 7 fastopen 00112233 ce cut 9", "SYN 0 fastopen request", "PSH 1+3*10 ack +5 fastopen given", "1 ack +5 times 3", "1 ack 1 ts", "1 ack 1 ts 1:2 ect1",
	} {
		p, err := parsePattern(strings.Fields(text))
		require.NoError(t, err, text)
		require.Equal(t, text, p.String())
	}
}

// An update makes a script right that was wrong, and leaves the rest alone.
func TestUpdate(t *testing.T) {
	was := header + `
connect   # we begin
  > SYN 1 win 7 mss 1 ...  # with a SYN
> PSH 9 ack 9

write 100
+5s > PSH 2+9 ack 1 ect0  # too late
silent 5s   # quiet
info send-mss 7, writes >= 1, mode idle # values
< SYN 0 ack 1
> next ack 7 ...
write 600 takes 500 # and no more
> PSH 101+500 ack next win 3 ect0
< 9+1 ack 1 # unheard of
`
	want := header + `
connect   # we begin
  > SYN 0 win 1000 mss 1460 ... ect0  # with a SYN

write 100
> PSH 1+100 ack 0 ect0  # too late
+1s > PSH 1+100 ack 0 ect0
+1s > PSH 1+100 ack 0 ect0
+1s > PSH 1+100 ack 0 ect0
silent 2s   # quiet
info send-mss 1460, writes >= 1, mode slow-start # values
< SYN 0 ack 1
> next ack 1 ... ect0
write 600 takes 500 # and no more
> PSH 101+500 ack next win 1000 ect0
< 9+1 ack 1 # unheard of
> 601 ack 10 sack 5:9 ect0
`
	s, err := Parse("a.txt", []byte(was))
	require.NoError(t, err)
	require.Error(t, s.Run(newFake))
	got, changed, err := s.Update(newFake)
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, want, string(got))
	s, err = Parse("a.txt", got)
	require.NoError(t, err)
	require.NoError(t, s.Run(newFake))
	again, changed, err := s.Update(newFake)
	require.NoError(t, err)
	require.False(t, changed)
	require.Equal(t, string(got), string(again))

	for _, body := range []string{"info send-mss > 9999\n", "fails connection-timed-out\n", "repeat 2\n> 1 ack 1\nend\n", "read 5\n"} {
		s, err := Parse("a.txt", []byte(header+opened+body))
		require.NoError(t, err)
		_, _, err = s.Update(newFake)
		if strings.HasPrefix(body, "repeat") {
			require.ErrorContains(t, err, "(turn 2)")
			continue
		}
		require.Error(t, err, body)
	}
}

// The files of a folder are tests, and update writes to them.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(dir+"/sub", 0o755))
	require.NoError(t, os.WriteFile(dir+"/sub/a.txt", []byte(header+opened+"info send-mss 1\n"), 0o644))
	require.NoError(t, os.WriteFile(dir+"/notes.md", nil, 0o644))
	files, err := Files(dir)
	require.NoError(t, err)
	require.Len(t, files, 1)
	Test(t, dir, true, newFake)
	Test(t, dir, false, newFake)
	s, err := Load(files[0])
	require.NoError(t, err)
	require.NoError(t, s.Run(newFake))
	_, err = Load(dir + "/none.txt")
	require.Error(t, err)
	require.NoError(t, os.WriteFile(dir+"/long.txt", make([]byte, maxScript+1), 0o644))
	_, err = Load(dir + "/long.txt")
	require.ErrorContains(t, err, "too long")
}

func TestNames(t *testing.T) {
	require.Equal(t, "connection-timed-out", ErrorName(fmt.Errorf("connection timed out")))
	require.Equal(t, "ok", ErrorName(nil))
	var cfg fakeConfig
	require.NoError(t, SetField(&cfg, "minrto", []string{"1s"}))
	require.Equal(t, time.Second, cfg.MinRTO)
	require.NoError(t, SetField(&cfg, "control", []string{"reno"}))
	require.Equal(t, "reno", cfg.Control().Name())
	require.ErrorContains(t, SetField(&cfg, "control", []string{"vegas"}), `no controller called "vegas"`)
	require.ErrorContains(t, SetField(&cfg, "retries.x", []string{"1"}), `no "x"`)
	require.ErrorContains(t, SetField(&cfg, "deep", []string{"1"}), "no values of type")
	require.False(t, HasField(&cfg, "nothing"))
}

// Nothing that is no script gets by without an error, and nothing makes the
// parser panic.
func FuzzParse(f *testing.F) {
	f.Add(header + opened)
	f.Add(header + "repeat 2\n  +1s~2ms < next+5 ack 1 ts 1:2 sack 1:2\nend # done\n")
	f.Add(header + "peer mss 1 win 2\nset no-delay on # x\ninfo a 1, b >= 2\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("a.txt", []byte(text))
		if err != nil {
			require.ErrorContains(t, err, "a.txt:")
			return
		}
		require.NotEmpty(t, s.Proves)
		for _, st := range s.steps {
			if st.segment == nil || st.verb == "peer" {
				continue
			}
			again, err := parsePattern(strings.Fields(st.segment.String()))
			require.NoError(t, err)
			again.port = st.segment.port
			require.Equal(t, st.segment, again)
		}
	})
}

// leastScripts is how many scripts there are to be: TCP as a whole is proved by them.
const leastScripts = 150

// Each script can be read, and there are enough of them.
func TestAllScripts(t *testing.T) {
	n := 0
	for _, dir := range []string{"../../netstack/tcp/testdata/script", "../../netstack/core/testdata/script"} {
		files, err := Files(dir)
		require.NoError(t, err)
		for _, path := range files {
			_, err := Load(path)
			require.NoError(t, err)
		}
		n += len(files)
	}
	t.Logf("%d scripts", n)
	require.GreaterOrEqual(t, n, leastScripts)
}
