package script

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"smolnet/netstack/wire"
)

// An ECN is the codepoint of explicit congestion notification in an IP header,
// RFC 3168 5.
type ECN uint8

// The codepoints.
const (
	NotECT ECN = iota
	ECT1
	ECT0
	CE
)

var ecnNames = [...]string{"", "ect1", "ect0", "ce"}

// A Segment is what goes over the wire, in the numbers of the wire.
type Segment struct {
	wire.TCP
	Data []byte
	ECN  ECN
	Cut  int    // not zero: a super-segment, to be cut into pieces of that many bytes
	Port uint16 // the peer's, zero for the one that needs no name
}

// flagWords are the flags' names in scripts, in the order in which they are
// written. ACK has none: it goes with a number.
var flagWords = []struct {
	word string
	flag wire.TCPFlags
}{
	{"SYN", wire.SYN}, {"FIN", wire.FIN}, {"RST", wire.RST}, {"PSH", wire.PSH},
	{"ECE", wire.ECE}, {"CWR", wire.CWR}, {"AE", wire.AE},
}

// A number is a relative sequence number, or "next": the one after everything
// that its side has sent. As the peer's acknowledgment it may be so much more than
// the greatest one before.
type number struct {
	next, more bool
	v          uint32
}

func (n number) String() string {
	switch {
	case n.next:
		return "next"
	case n.more:
		return "+" + strconv.Itoa(int(n.v))
	}
	return strconv.Itoa(int(int32(n.v)))
}

// A stamp is a timestamp in milliseconds since the script began, or any.
type stamp struct {
	any bool
	v   uint32
}

func (s stamp) String() string {
	if s.any {
		return "*"
	}
	return strconv.Itoa(int(int32(s.v)))
}

// Windows that are no number.
const (
	winUnsaid = -1 // peer's: the usual one; the connection's: any
	winAny    = -2 // the same, said aloud
)

// A pattern is a segment as a script has it: relative numbers, and some things
// left open.
type pattern struct {
	flags    wire.TCPFlags
	seq      number
	n        int // bytes of data
	times    int // above one: a row of so many segments, PSH and FIN on the last of them
	ack      number
	win      int
	urg      int // -1: no URG
	mss      int // -1: absent, and so on
	wscale   int
	uto      int // user timeout, RFC 5482, as on the wire
	sackOK   bool
	ts       bool
	val, ecr stamp
	sack     [][2]uint32
	fastOpen string // hex; "request"; "given"; empty: absent
	more     bool   // and perhaps other options
	ecn      ECN
	cut      int
	port     uint16
}

// words is what is left of a line.
type words []string

func (w *words) take() string {
	if len(*w) == 0 {
		return ""
	}
	s := (*w)[0]
	*w = (*w)[1:]
	return s
}

// number takes a number between low and high.
func (w *words) number(what string, low, high int) (int, error) {
	s := w.take()
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%s needs a number from %d to %d, not %q", what, low, high, s)
	}
	return n, nil
}

func parseNumber(s string) (number, error) {
	if s == "next" {
		return number{next: true}, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < -1<<31 || n >= 1<<32 {
		return number{}, fmt.Errorf("%q is no sequence number", s)
	}
	return number{v: uint32(n)}, nil
}

// maxData is the most data that a segment in a script has.
const maxData = 1 << 16

// maxRow is how many segments a line has at most.
const maxRow = 1000

// parsePattern reads a segment: flags, sequence number, then what else there is.
func parsePattern(w words) (*pattern, error) {
	p := &pattern{times: 1, win: winUnsaid, urg: -1, mss: -1, wscale: -1, uto: -1}
	none := p.takeFlags(&w)
	seq, length, more := strings.Cut(w.take(), "+")
	if seq == "" {
		return nil, fmt.Errorf("a segment needs a sequence number")
	}
	var err error
	if p.seq, err = parseNumber(seq); err != nil {
		return nil, err
	}
	if more {
		if err = p.takeLength(length); err != nil {
			return nil, err
		}
	}
	if err := p.takeRest(&w); err != nil {
		return nil, err
	}
	if none != (p.flags == 0) {
		return nil, fmt.Errorf("a segment without flags and ack is called none, and nothing else is")
	}
	return p, nil
}

// takeLength reads 1460, or 10*1460.
func (p *pattern) takeLength(s string) (err error) {
	times, each, row := strings.Cut(s, "*")
	if !row {
		each = s
	} else if p.times, err = strconv.Atoi(times); err != nil || p.times < 2 || p.times > maxRow || p.flags.Has(wire.SYN) {
		return fmt.Errorf("%q is no row of segments", s)
	}
	if p.n, err = strconv.Atoi(each); err != nil || p.n < 0 || p.n > maxData || row && p.n == 0 {
		return fmt.Errorf("%q is no length of data", s)
	}
	return nil
}

// takeFlags takes the flags, and reports whether their place says none.
func (p *pattern) takeFlags(w *words) bool {
	if len(*w) > 0 && (*w)[0] == "none" {
		w.take()
		return true
	}
next:
	for len(*w) > 0 {
		for _, f := range flagWords {
			if (*w)[0] == f.word {
				p.flags |= f.flag
				w.take()
				continue next
			}
		}
		break
	}
	return false
}

// takeRest takes what follows the sequence number.
func (p *pattern) takeRest(w *words) error {
	seen := make(map[string]bool)
	for len(*w) > 0 {
		word := w.take()
		if seen[word] {
			return fmt.Errorf("%q twice", word)
		}
		seen[word] = true
		if err := p.takeOne(word, w); err != nil {
			return err
		}
	}
	return nil
}

func (p *pattern) takeOne(word string, w *words) (err error) {
	switch word {
	case "ack":
		p.flags |= wire.ACK
		text, more := strings.CutPrefix(w.take(), "+")
		p.ack, err = parseNumber(text)
		p.ack.more = more
	case "win":
		if len(*w) > 0 && (*w)[0] == "*" {
			w.take()
			p.win = winAny
			return nil
		}
		p.win, err = w.number(word, 0, 1<<16-1)
	case "urg":
		p.flags |= wire.URG
		p.urg, err = w.number(word, 0, 1<<16-1)
	case "mss":
		p.mss, err = w.number(word, 1, 1<<16-1)
	case "wscale":
		p.wscale, err = w.number(word, 0, 255)
	case "uto":
		p.uto, err = w.number(word, 0, 1<<16-1)
	case "sackok":
		p.sackOK = true
	case "ts":
		err = p.takeTimestamps(w)
	case "sack":
		err = p.takeSACK(w.take())
	case "fastopen":
		p.fastOpen = w.take()
		err = checkCookie(p.fastOpen)
	case "ect0", "ect1", "ce":
		if p.ecn != NotECT {
			return fmt.Errorf("a segment has one codepoint")
		}
		for i, name := range ecnNames {
			if name == word {
				p.ecn = ECN(i)
			}
		}
	case "...":
		p.more = true
	case "cut":
		p.cut, err = w.number(word, 1, 1<<16-1)
	case "times":
		if p.n > 0 || p.times > 1 {
			return fmt.Errorf("times is for segments without data, 1+10*1460 for others")
		}
		p.times, err = w.number(word, 2, maxRow)
	case "from", "to":
		var port int
		port, err = w.number(word, 1, 1<<16-1)
		p.port = uint16(port)
	default:
		err = fmt.Errorf("%q is nothing that a segment has", word)
	}
	return err
}

// takeTimestamps takes VALUE:ECHO, if they are there.
func (p *pattern) takeTimestamps(w *words) error {
	p.ts, p.val.any, p.ecr.any = true, true, true
	if len(*w) == 0 || !strings.Contains((*w)[0], ":") {
		return nil
	}
	val, ecr, _ := strings.Cut(w.take(), ":")
	for _, s := range []struct {
		text string
		to   *stamp
	}{{val, &p.val}, {ecr, &p.ecr}} {
		if s.text == "*" {
			continue
		}
		n, err := parseNumber(s.text)
		if err != nil || n.next {
			return fmt.Errorf("%q is no timestamp", s.text)
		}
		*s.to = stamp{v: n.v}
	}
	return nil
}

// takeSACK takes blocks, as in 100:200,300:400.
func (p *pattern) takeSACK(s string) error {
	for block := range strings.SplitSeq(s, ",") {
		from, to, ok := strings.Cut(block, ":")
		a, err := parseNumber(from)
		b, err2 := parseNumber(to)
		if !ok || err != nil || err2 != nil || a.next || b.next {
			return fmt.Errorf("%q is no SACK block, such as 100:200", block)
		}
		p.sack = append(p.sack, [2]uint32{a.v, b.v})
	}
	if len(p.sack) > wire.MaxSACKBlocks {
		return fmt.Errorf("%d SACK blocks do not fit", len(p.sack))
	}
	return nil
}

// checkCookie looks at a fast open option.
func checkCookie(s string) error {
	if s == "request" || s == "given" {
		return nil
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) < 4 || len(b) > 16 || len(b)%2 != 0 {
		return fmt.Errorf("fastopen needs request, given, or a cookie of 4 to 16 bytes in hexadecimal digits, not %q", s)
	}
	return nil
}

// String renders the pattern as a script has it.
func (p *pattern) String() string {
	var b strings.Builder
	for _, f := range flagWords {
		if p.flags.Has(f.flag) {
			b.WriteString(f.word + " ")
		}
	}
	if p.flags == 0 {
		b.WriteString("none ")
	}
	b.WriteString(p.seq.String())
	switch {
	case p.n > 0 && p.times > 1:
		fmt.Fprintf(&b, "+%d*%d", p.times, p.n)
	case p.n > 0:
		fmt.Fprintf(&b, "+%d", p.n)
	}
	if p.flags.Has(wire.ACK) {
		b.WriteString(" ack " + p.ack.String())
	}
	if p.win >= 0 {
		fmt.Fprintf(&b, " win %d", p.win)
	} else if p.win == winAny {
		b.WriteString(" win *")
	}
	if p.urg >= 0 {
		fmt.Fprintf(&b, " urg %d", p.urg)
	}
	p.showOptions(&b)
	if p.more {
		b.WriteString(" ...")
	}
	if p.ecn != NotECT {
		b.WriteString(" " + ecnNames[p.ecn])
	}
	if p.cut > 0 {
		fmt.Fprintf(&b, " cut %d", p.cut)
	}
	if p.times > 1 && p.n == 0 {
		fmt.Fprintf(&b, " times %d", p.times)
	}
	return b.String()
}

func (p *pattern) showOptions(b *strings.Builder) {
	if p.mss >= 0 {
		fmt.Fprintf(b, " mss %d", p.mss)
	}
	if p.sackOK {
		b.WriteString(" sackok")
	}
	if p.ts {
		b.WriteString(" ts")
		if !p.val.any || !p.ecr.any {
			fmt.Fprintf(b, " %v:%v", p.val, p.ecr)
		}
	}
	if p.wscale >= 0 {
		fmt.Fprintf(b, " wscale %d", p.wscale)
	}
	for i, k := range p.sack {
		sep := ","
		if i == 0 {
			sep = " sack "
		}
		fmt.Fprintf(b, "%s%d:%d", sep, int32(k[0]), int32(k[1]))
	}
	if p.uto >= 0 {
		fmt.Fprintf(b, " uto %d", p.uto)
	}
	if p.fastOpen != "" {
		b.WriteString(" fastopen " + p.fastOpen)
	}
}

// differences names what got, which leaves nothing open, has other than p asks
// for.
func (p *pattern) differences(got *pattern) []string {
	var d []string
	note := func(differs bool, what string) {
		if differs {
			d = append(d, what)
		}
	}
	note(p.flags != got.flags, "flags")
	note(p.seq != got.seq, "sequence number")
	note(p.n != got.n, "length")
	note(p.times != got.times, "number of segments")
	note(p.flags.Has(wire.ACK) && got.flags.Has(wire.ACK) && p.ack != got.ack, "ack")
	note(p.win >= 0 && p.win != got.win, "window")
	note(p.urg != got.urg, "urgent pointer")
	unasked := p.more // then what is not asked for may be there
	note(p.mss != got.mss && (p.mss >= 0 || !unasked), "mss")
	note(p.wscale != got.wscale && (p.wscale >= 0 || !unasked), "wscale")
	note(p.uto != got.uto && (p.uto >= 0 || !unasked), "uto")
	note(p.sackOK != got.sackOK && (p.sackOK || !unasked), "sackok")
	note(p.ts != got.ts && (p.ts || !unasked), "ts")
	if p.ts && got.ts {
		note(!p.val.any && p.val != got.val, "timestamp")
		note(!p.ecr.any && p.ecr != got.ecr, "timestamp's echo")
	}
	note(fmt.Sprint(p.sack) != fmt.Sprint(got.sack) && (len(p.sack) > 0 || !unasked), "sack")
	given := p.fastOpen == "given" && got.fastOpen != "" && got.fastOpen != "request"
	note(p.fastOpen != got.fastOpen && !given && (p.fastOpen != "" || !unasked), "fastopen")
	note(p.ecn != got.ecn, "ECN codepoint")
	note(p.cut != got.cut, "cut")
	note(p.port != got.port, "port")
	return d
}

// like returns got with as much left open as p leaves: what a script is updated
// to.
func (p *pattern) like(got *pattern) *pattern {
	out := *got
	if p == nil {
		out.win, out.val.any, out.ecr.any = winUnsaid, true, true
		return &out
	}
	if p.win < 0 {
		out.win = p.win
	}
	if p.more {
		p.leaveOpen(&out)
	}
	if p.fastOpen == "given" && out.fastOpen != "" && out.fastOpen != "request" {
		out.fastOpen = p.fastOpen
	}
	if p.ts {
		out.val.any, out.ecr.any = p.val.any, p.ecr.any
	} else {
		out.val.any, out.ecr.any = true, true
	}
	return &out
}

// leaveOpen takes the options out of got that p, which says "...", does not ask
// for.
func (p *pattern) leaveOpen(got *pattern) {
	got.more = true
	if p.mss < 0 {
		got.mss = -1
	}
	if p.wscale < 0 {
		got.wscale = -1
	}
	if p.uto < 0 {
		got.uto = -1
	}
	got.sackOK = got.sackOK && p.sackOK
	got.ts = got.ts && p.ts
	if len(p.sack) == 0 {
		got.sack = nil
	}
	if p.fastOpen == "" {
		got.fastOpen = ""
	}
}
