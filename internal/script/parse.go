package script

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"smolnet/netstack/wire"
)

// A Script is a parsed script.
type Script struct {
	Name   string // file
	Title  string // first comment line
	Proves []Citation

	lines []string
	steps []step
}

// A Citation is a sentence of an RFC that a script proves.
type Citation struct {
	RFC, Section, Quote string
}

// An Error is what is wrong with a script, or with what it is about: a file, a
// line, and a text that may go over several.
type Error struct {
	Name string
	Line int
	Text string
}

// Error returns all of it.
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.Name, e.Line, e.Text) }

// Bounds on a script.
const (
	maxLines   = 2000
	maxRepeats = 100_000
	maxNesting = 4
)

// When a step happens.
type waitKind uint8

const (
	waitNone waitKind = iota // now
	waitSpan                 // so long after the step before
	waitAt                   // at an instant of the script
	waitAny                  // whenever it comes
)

type wait struct {
	kind      waitKind
	d         time.Duration
	tolerance time.Duration // negative: the usual one
}

// A step is a line, or the lines from repeat to end.
type step struct {
	line    int
	prefix  string // and, or the time, as written
	and     bool   // in one turn with the step before
	wait    wait
	verb    string
	args    words
	segment *pattern
	checks  []check
	body    []step
	times   int
}

// citation matches RFC 9293 MUST-58, 3.8.6.3: "a sentence". What stands between
// the section and the colon is a remark.
var citation = regexp.MustCompile(`RFC (\d{3,5}),? (?:(?:(?:MUST|SHLD|MAY|REC)-\d+(?:, | and ))*)` +
	`(Abstract|(?:[Aa]ppendix )?[A-Z0-9]+(?:\.[A-Z0-9]+)*)(?:,? [^":]{1,60})?: "([^"]{10,})"`)

// Parse reads a script. Every error is an *Error.
func Parse(name string, text []byte) (*Script, error) {
	s := &Script{Name: name}
	text = bytes.TrimSuffix(text, []byte("\n"))
	s.lines = strings.Split(string(text), "\n")
	if len(s.lines) > maxLines {
		return nil, s.errorf(maxLines, "a script of more than %d lines", maxLines)
	}
	if err := s.parseHeader(); err != nil {
		return nil, err
	}
	at := 0
	steps, err := s.parseSteps(&at, 0)
	if err != nil {
		return nil, err
	}
	if len(steps) == 0 {
		return nil, s.errorf(len(s.lines), "a script without a step")
	}
	s.steps = steps
	return s, nil
}

func (s *Script) errorf(line int, format string, args ...any) *Error {
	return &Error{s.Name, line, fmt.Sprintf(format, args...)}
}

// parseHeader reads the comment at the top: a title, and the sentences that are
// proved.
func (s *Script) parseHeader() error {
	var text []string
	for _, l := range s.lines {
		c, ok := strings.CutPrefix(strings.TrimSpace(l), "#")
		if !ok {
			break
		}
		text = append(text, strings.TrimSpace(c))
	}
	if len(text) == 0 || text[0] == "" || strings.HasPrefix(text[0], "RFC ") {
		return s.errorf(1, "a script begins with a comment, whose first line is its title")
	}
	s.Title = text[0]
	for _, m := range citation.FindAllStringSubmatch(strings.Join(text[1:], " "), -1) {
		s.Proves = append(s.Proves, Citation{m[1], m[2], m[3]})
	}
	if len(s.Proves) == 0 {
		return s.errorf(1, `the comment at the top has to quote what the script proves, as in # RFC 5681 3.2: "..."`)
	}
	return nil
}

// parseSteps reads lines up to the end of the file, or to the end of a repeat.
func (s *Script) parseSteps(at *int, depth int) ([]step, error) {
	var steps []step
	for *at < len(s.lines) {
		line := *at + 1
		code, _ := splitComment(s.lines[*at])
		*at++
		w := words(strings.Fields(code))
		if len(w) == 0 {
			continue
		}
		if w[0] == "end" && len(w) == 1 {
			if depth == 0 {
				return nil, s.errorf(line, "end without repeat")
			}
			return steps, nil
		}
		st, err := parseStep(w)
		if err != nil {
			return nil, s.errorf(line, "%v", err)
		}
		st.line = line
		if st.and && (len(steps) == 0 || steps[len(steps)-1].verb == "repeat") {
			return nil, s.errorf(line, "there is no step before for this one to go with")
		}
		if st.verb == "repeat" {
			if depth == maxNesting {
				return nil, s.errorf(line, "repeat goes %d deep at most", maxNesting)
			}
			if st.body, err = s.parseSteps(at, depth+1); err != nil {
				return nil, err
			}
			if code, _ := splitComment(s.lines[*at-1]); strings.TrimSpace(code) != "end" {
				return nil, s.errorf(line, "repeat without end")
			}
		}
		steps = append(steps, st)
	}
	return steps, nil
}

// splitComment separates what a line says from the comment that follows, space
// in front of it included.
func splitComment(line string) (code, comment string) {
	inText := false
	for i, r := range line {
		switch {
		case r == '"':
			inText = !inText
		case r == '#' && !inText:
			code = strings.TrimRight(line[:i], " \t")
			return code, line[len(code):]
		}
	}
	code = strings.TrimRight(line, " \t")
	return code, ""
}

func parseStep(w words) (step, error) {
	var st step
	if w[0] == "and" {
		st.and, st.prefix = true, w.take()
	} else if w[0][0] == '+' || w[0][0] == '@' {
		st.prefix = w.take()
		var err error
		if st.wait, err = parseWait(st.prefix); err != nil {
			return st, err
		}
	}
	if len(w) == 0 {
		return st, fmt.Errorf("nothing follows %s", st.prefix)
	}
	st.verb, st.args = w[0], w[1:]
	v, ok := verbs[st.verb]
	if !ok {
		return st, fmt.Errorf("there is no command %q", st.verb)
	}
	if n := len(st.args); n < v.least || n > v.most {
		return st, fmt.Errorf("%s needs %s", st.verb, v.usage)
	}
	if st.wait.kind == waitAny && st.verb != ">" {
		return st, fmt.Errorf("+* stands before what is expected, >")
	}
	if st.and && (v.check || st.verb == ">" || st.verb == "sends") {
		return st, fmt.Errorf("and joins what happens, not what is expected")
	}
	if v.parse != nil {
		if err := v.parse(&st); err != nil {
			return st, err
		}
	}
	return st, nil
}

// parseWait reads +200ms, +200ms~10ms, @1.5s or +*.
func parseWait(s string) (wait, error) {
	w := wait{kind: waitSpan, tolerance: -1}
	if s == "+*" {
		w.kind = waitAny
		return w, nil
	}
	if s[0] == '@' {
		w.kind = waitAt
	}
	span, give, loose := strings.Cut(s[1:], "~")
	var err error
	if w.d, err = time.ParseDuration(span); err != nil || w.d < 0 {
		return w, fmt.Errorf("%q is no time, such as +200ms or @1.5s", s)
	}
	if loose {
		if w.tolerance, err = time.ParseDuration(give); err != nil || w.tolerance < 0 {
			return w, fmt.Errorf("%q is no tolerance, such as 10ms", give)
		}
	}
	return w, nil
}

// A verb is what a line may begin with.
type verb struct {
	least, most int // words that follow
	usage       string
	parse       func(*step) error
	check       bool // looks at something and changes nothing
	setting     bool // comes before the connection
}

const many = 64

// verbs are the language.
var verbs = map[string]verb{
	"<": {least: 1, most: many, usage: "a segment", parse: parseSegment},
	">": {least: 1, most: many, usage: "a segment", parse: parseSegment},

	"iss":       {least: 1, most: 1, usage: "a sequence number", parse: parseSeqs, setting: true},
	"irs":       {least: 1, most: 1, usage: "a sequence number", parse: parseSeqs, setting: true},
	"tolerance": {least: 1, most: 1, usage: "a duration", parse: parseDurations, setting: true},
	"rtt":       {least: 1, most: 1, usage: "a duration", parse: parseDurations, setting: true},
	"ipv6":      {usage: "nothing", setting: true},
	"room":      {least: 1, most: 1, usage: "a number of bytes", parse: parseCounts, setting: true},
	"peer":      {least: 1, most: many, usage: "options of its SYN, and its window", parse: parsePeer, setting: true},

	"set":         {least: 1, most: 8, usage: "a name and its values"},
	"mtu":         {least: 1, most: 1, usage: "a number of bytes", parse: parseCounts},
	"connect":     {most: 4, usage: "nothing, or fastopen", parse: parseConnect},
	"listen":      {usage: "nothing"},
	"unlisten":    {usage: "nothing"},
	"established": {usage: "nothing"},
	"accepted":    {usage: "nothing"},
	"write":       {least: 1, most: 3, usage: "a number of bytes, and takes with another number, or fails with an error", parse: parseWrite},
	"read":        {least: 1, most: 2, usage: "a number of bytes, end, nothing, or fails with an error", parse: parseRead},
	"close":       {usage: "nothing"},
	"abort":       {usage: "nothing"},
	"shutdown":    {least: 1, most: 1, usage: "read or write", parse: parseShutdown},
	"icmp":        {least: 1, most: 3, usage: "what it says, and quoting with a sequence number", parse: parseICMP},
	"silent":      {least: 1, most: 1, usage: "a duration", parse: parseDurations},
	"sends":       {least: 1, most: 1, usage: "a number of bytes", parse: parseCounts},
	"repeat":      {least: 1, most: 1, usage: "a number of times", parse: parseRepeat},

	"info":     {least: 1, most: many, usage: "fields and values", parse: parseInfo, check: true},
	"stats":    {least: 1, most: many, usage: "fields and values", parse: parseInfo, check: true},
	"fails":    {least: 1, most: 1, usage: "an error", parse: parseFails, check: true},
	"works":    {usage: "nothing", check: true},
	"hears":    {least: 1, most: many, usage: "events", check: true},
	"deadline": {least: 1, most: 1, usage: "never, or a duration", parse: parseDeadline, check: true},
}

func parseSegment(st *step) (err error) {
	st.segment, err = parsePattern(st.args)
	if err != nil {
		return err
	}
	wrong := "from"
	if st.verb == "<" {
		wrong = "to"
		p := st.segment
		if p.win == winAny || p.ts && p.val.any != p.ecr.any {
			return fmt.Errorf("what is to be sent leaves nothing open")
		}
	} else if p := st.segment; p.ack.more || p.times > 1 && p.n == 0 {
		return fmt.Errorf("what is expected has a number, or next, and a line of its own if it has no data")
	}
	for _, word := range st.args {
		if word == wrong {
			return fmt.Errorf("segments come from, < , and go to, >, a port")
		}
	}
	return nil
}

func parsePeer(st *step) error {
	p, err := parsePattern(append(words{"SYN", "0"}, st.args...))
	if err != nil {
		return err
	}
	if p.n > 0 || p.flags != wire.SYN || p.port != 0 || p.win == winAny || p.ts && p.val.any != p.ecr.any {
		return fmt.Errorf("peer needs options of its SYN, and its window")
	}
	st.segment = p
	return nil
}

// parseConnect: connect [fastopen [request or COOKIE [mss MSS]]].
func parseConnect(st *step) error {
	w := st.args
	if len(w) == 0 {
		return nil
	}
	if w.take() != "fastopen" {
		return fmt.Errorf("connect needs nothing, or fastopen")
	}
	if len(w) == 0 {
		return nil
	}
	if err := checkCookie(w.take()); err != nil || len(w) == 0 {
		return err
	}
	if w.take() != "mss" {
		return fmt.Errorf("connect fastopen needs a cookie, and mss")
	}
	_, err := w.number("mss", 1, 1<<16-1)
	return err
}

func parseSeqs(st *step) error {
	n, err := parseNumber(st.args[0])
	if err == nil && n.next {
		err = fmt.Errorf("%s needs a number", st.verb)
	}
	return err
}

func parseDurations(st *step) error {
	d, err := time.ParseDuration(st.args[0])
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no duration, such as 200ms", st.args[0])
	}
	return nil
}

func parseDeadline(st *step) error {
	if st.args[0] == "never" {
		return nil
	}
	return parseDurations(st)
}

// maxCount bounds the numbers of bytes in scripts.
const maxCount = 1 << 28

func count(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > maxCount {
		return 0, fmt.Errorf("%q is no number of bytes up to %d", s, maxCount)
	}
	return n, nil
}

func parseCounts(st *step) error {
	_, err := count(st.args[0])
	return err
}

func parseWrite(st *step) error {
	if _, err := count(st.args[0]); err != nil {
		return err
	}
	switch {
	case len(st.args) == 1:
		return nil
	case len(st.args) == 3 && st.args[1] == "takes":
		_, err := count(st.args[2])
		return err
	case len(st.args) == 3 && st.args[1] == "fails":
		_, err := ErrorNamed(st.args[2])
		return err
	}
	return fmt.Errorf("write needs a number of bytes, and takes with another number, or fails with an error")
}

func parseRead(st *step) error {
	switch {
	case len(st.args) == 2 && st.args[0] == "fails":
		_, err := ErrorNamed(st.args[1])
		return err
	case len(st.args) != 1:
		return fmt.Errorf("read needs a number of bytes, end, nothing, or fails with an error")
	case st.args[0] == "end", st.args[0] == "nothing":
		return nil
	}
	_, err := count(st.args[0])
	return err
}

func parseShutdown(st *step) error {
	if s := st.args[0]; s != "read" && s != "write" {
		return fmt.Errorf("shutdown needs read or write")
	}
	return nil
}

// parseICMP: icmp KIND [quoting SEQ], icmp too-big MTU.
func parseICMP(st *step) error {
	a := st.args
	if a[0] == "too-big" {
		if len(a) != 2 {
			return fmt.Errorf("icmp too-big needs an MTU")
		}
		_, err := count(a[1])
		return err
	}
	if _, err := ErrorNamed(a[0]); err != nil {
		return err
	}
	if len(a) == 1 {
		return nil
	}
	if len(a) != 3 || a[1] != "quoting" {
		return fmt.Errorf("icmp needs what it says, and quoting with a sequence number")
	}
	_, err := parseNumber(a[2])
	return err
}

func parseRepeat(st *step) (err error) {
	st.times, err = strconv.Atoi(st.args[0])
	if err != nil || st.times < 1 || st.times > maxRepeats {
		return fmt.Errorf("repeat needs a number from 1 to %d", maxRepeats)
	}
	return nil
}

func parseFails(st *step) error {
	_, err := ErrorNamed(st.args[0])
	return err
}

// parseInfo reads comparisons: FIELD [OPERATOR] VALUE, with commas in between.
func parseInfo(st *step) error {
	for part := range strings.SplitSeq(strings.Join(st.args, " "), ",") {
		f := strings.Fields(part)
		switch len(f) {
		case 2:
			st.checks = append(st.checks, check{f[0], "=", f[1]})
		case 3:
			if operators[f[1]] == nil {
				return fmt.Errorf("%q is no comparison", f[1])
			}
			st.checks = append(st.checks, check{f[0], f[1], f[2]})
		default:
			return fmt.Errorf("%q is no field and value", strings.TrimSpace(part))
		}
	}
	return nil
}
