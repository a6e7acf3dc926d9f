package main

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// A cite is one thing that a text cites, before a table says what it stands
// for.
type cite struct {
	rfc   string   // "" for a bare label
	id    string   // a label or a section; "" if only the RFC is named
	steps []string // what the sentence around it names, in lower case: 2, r1, c.1
	words []string // of that sentence, in lower case
}

// stepItem is a step as RFCs name them: 2, 2a, 4.2, R1, A, C.1.
const stepItem = `([A-Za-z]?[0-9]{1,2}(?:\.[0-9])?[a-z]?|[A-Z](?:\.[0-9])?)\b`

// maxRange bounds how many sections or steps "2 to 5" can stand for.
const maxRange = 30

var (
	labelRE   = regexp.MustCompile(`^(MUST|SHLD|MAY|REC)-[1-9][0-9]*`)
	bareRE    = regexp.MustCompile(`\b(?:MUST|SHLD|MAY|REC)-[1-9][0-9]*\b`)
	sectionRE = regexp.MustCompile(`^[1-9A-Z][0-9]?(\.[1-9][0-9]?)*`)
	rfcRE     = regexp.MustCompile(`\bRFC[\s-]?([1-9][0-9]{2,4})\b`)
	// betweenRE is what may stand between an RFC's number and what is cited of
	// it, and between two such.
	betweenRE = regexp.MustCompile(`^(?:[\s,;:(]|and\b|or\b|§|(?i:sections?\b|sec\.|appendix\b))+`)
	namedRE   = regexp.MustCompile(`(?i)(section|sections|sec\.|appendix|§)\s*$`)
	rangeRE   = regexp.MustCompile(`^(?:-|\s+to\s+)`)
	// sentenceRE is the end of a sentence.
	sentenceRE = regexp.MustCompile(`[.!?]["')]*(?:\s+|$)|\n\s*\n`)

	// Steps are called so or stand in brackets, anywhere in the sentence, or
	// follow the section after a comma; more of them may follow.
	stepRE    = regexp.MustCompile(`(?:(?i:\b(?:steps?|rules?|cases?|equations?)\s+)\(?` + stepItem + `\)?|\(` + stepItem + `\))`)
	bracketRE = regexp.MustCompile(`^\s*\(` + stepItem + `\)`)
	commaRE   = regexp.MustCompile(`^,\s*\(?` + stepItem + `\)?`)
	moreRE    = regexp.MustCompile(`^(-|\s+to\s+|,\s*|\s+(?:and|or)\s+)\(?` + stepItem + `\)?`)
)

func isLabel(s string) bool   { return labelRE.FindString(s) == s && s != "" }
func isSection(s string) bool { return sectionRE.FindString(s) == s && s != "" }

// cites returns what a text cites. After "RFC n" come labels and sections,
// apart by commas and small words. A section without a dot must follow at once
// or be called one. A label anywhere else belongs to the RFC that was named
// last, if any.
func cites(text string) []cite {
	var list []cite
	done := 0 // up to where text is read
	rfc := ""
	for {
		at := rfcRE.FindStringSubmatchIndex(text[done:])
		head := text[done:]
		if at != nil {
			head = head[:at[0]]
		}
		for _, label := range bareRE.FindAllString(head, -1) {
			list = append(list, cite{rfc: rfc, id: label})
		}
		if at == nil {
			return list
		}
		before := sentenceBefore(head, done > 0)
		rfc = text[done+at[2] : done+at[3]]
		done += at[1]
		ids, steps, n := citedIDs(text[done:])
		done += n
		after := sentenceAfter(text[done:])
		steps = append(steps, stepsIn(before)...)
		steps = append(steps, stepsIn(after)...)
		words := wordsOf(before + " " + after)
		list = append(list, cite{rfc: rfc})
		for _, id := range ids {
			list = append(list, cite{rfc, id, steps, words})
		}
	}
}

// sentenceBefore returns what text has of the sentence that it ends in, unless
// another RFC is named there (follows) earlier in the same sentence.
func sentenceBefore(text string, follows bool) string {
	ends := sentenceRE.FindAllStringIndex(text, -1)
	if len(ends) == 0 {
		if follows {
			return ""
		}
		return text
	}
	return text[ends[len(ends)-1][1]:]
}

// sentenceAfter returns text up to the end of its first sentence, or up to the
// next RFC. A sentence does not end within quotes.
func sentenceAfter(text string) string {
	if at := rfcRE.FindStringIndex(text); at != nil {
		text = text[:at[0]]
	}
	for _, end := range sentenceRE.FindAllStringIndex(text, -1) {
		if strings.Count(text[:end[1]], `"`)%2 == 0 {
			return text[:end[1]]
		}
	}
	return text
}

// citedIDs returns the labels and sections that text starts with, the steps
// after them, and how long all that is.
func citedIDs(text string) (ids, steps []string, n int) {
	for {
		if n > 0 && bracketRE.MatchString(text[n:]) {
			return ids, steps, n
		}
		between := betweenRE.FindString(text[n:])
		id := citedID(between, text[n+len(between):], n == 0)
		if between == "" || id == "" {
			return ids, steps, n
		}
		ids = append(ids, id)
		n += len(between) + len(id)
		if !isSection(id) {
			continue
		}
		if to := rangeRE.FindString(text[n:]); to != "" {
			if last := citedID("section", text[n+len(to):], false); isSection(last) && isDigit(last[0]) {
				ids = append(ids, upTo(id, last)...)
				n += len(to) + len(last)
			}
		}
		if m := commaRE.FindStringSubmatchIndex(text[n:]); m != nil && stepEnds(text[n:], m) {
			found, length := stepList(text[n:], m[2], m[3], m[1])
			steps = append(steps, found...)
			n += length
		}
	}
}

// citedID returns the label or section that text starts with, or "". At once
// says that it follows the RFC's number.
func citedID(before, text string, atOnce bool) string {
	id := labelRE.FindString(text)
	if id == "" {
		id = sectionRE.FindString(text)
		dotted, named := strings.Contains(id, "."), namedRE.MatchString(before)
		if id == "" || !dotted && !named && !(atOnce && strings.TrimSpace(before) == "" && isDigit(id[0])) {
			return ""
		}
		if rest := text[len(id):]; dotted && len(rest) > 1 && rest[0] == '-' && isDigit(rest[1]) {
			return id // a range
		}
	}
	rest := strings.TrimPrefix(text, id)
	if rest != "" && (isWord(rest[0]) || rest[0] == '.' && len(rest) > 1 && isWord(rest[1])) {
		return "" // part of something longer: an address, a number, a name
	}
	return id
}

// upTo returns what follows first up to last, which is counted on in its last
// number, as 2.3 and 2.4 for 2.2 and 2.4.
func upTo(first, last string) []string {
	dot := strings.LastIndexByte(first, '.') + 1
	if !strings.HasPrefix(last, first[:dot]) {
		return []string{last}
	}
	from, err1 := strconv.Atoi(first[dot:])
	to, err2 := strconv.Atoi(last[dot:])
	if err1 != nil || err2 != nil || to <= from || to-from > maxRange {
		return []string{last}
	}
	var list []string
	for i := from + 1; i <= to; i++ {
		list = append(list, first[:dot]+strconv.Itoa(i))
	}
	return list
}

// stepEnds reports whether what commaRE found is a step: "3.2, 4: each" and not
// "3.2, 4 segments" or "3.1, 3.2".
func stepEnds(text string, m []int) bool {
	bracket := text[m[3]:m[1]] == ")"
	if strings.Contains(text[m[2]:m[3]], ".") && !bracket {
		return false
	}
	rest := text[m[1]:]
	if moreRE.MatchString(rest) || bracket {
		return true
	}
	after := strings.TrimLeft(rest, " \n")
	return after == "" || !isWord(after[0]) || strings.HasPrefix(after, "and ") || strings.HasPrefix(after, "or ")
}

// stepsIn returns the steps that text names.
func stepsIn(text string) []string {
	var list []string
	for {
		m := stepRE.FindStringSubmatchIndex(text)
		if m == nil {
			return list
		}
		from, to := m[2], m[3]
		if from < 0 {
			from, to = m[4], m[5]
		}
		found, n := stepList(text, from, to, m[1])
		list, text = append(list, found...), text[n:]
	}
}

// stepList returns the step at text[from:to] and those that follow it at end,
// and where they end.
func stepList(text string, from, to, end int) (list []string, n int) {
	last := strings.ToLower(text[from:to])
	list = []string{last}
	for {
		m := moreRE.FindStringSubmatchIndex(text[end:])
		if m == nil {
			return list, end
		}
		step := strings.ToLower(text[end+m[4] : end+m[5]])
		if strings.Contains(step, ".") && !strings.Contains(last, ".") {
			return list, end // a section
		}
		if sep := strings.TrimSpace(text[end+m[2] : end+m[3]]); sep == "-" || sep == "to" {
			list = append(list, upTo(last, step)...)
		} else {
			list = append(list, step)
		}
		last = step
		end += m[1]
	}
}

// wordsOf returns the words of a text in lower case; what has a hyphen counts
// both as one word and as several.
func wordsOf(text string) []string {
	text = strings.ToLower(text)
	list := strings.FieldsFunc(text, isSign)
	if strings.Contains(text, "-") {
		list = append(list, strings.FieldsFunc(strings.ReplaceAll(text, "-", ""), isSign)...)
	}
	return list
}

func isSign(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

func isWord(b byte) bool {
	return b == '_' || b == '-' || isDigit(b) || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}
