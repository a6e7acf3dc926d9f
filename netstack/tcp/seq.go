package tcp

// A Seq is a sequence number, RFC 9293 3.4. Comparisons are modulo 2^32 and
// make sense between numbers less than 2^31 apart.
type Seq uint32

// Before reports whether s comes before t.
func (s Seq) Before(t Seq) bool { return int32(s-t) < 0 }

// After reports whether s comes after t.
func (s Seq) After(t Seq) bool { return int32(s-t) > 0 }

// Add returns the sequence number n bytes after s, or before it if n is
// negative.
func (s Seq) Add(n int) Seq { return s + Seq(n) }

// Sub returns the bytes from t to s, negative if s is before t.
func (s Seq) Sub(t Seq) int { return int(int32(s - t)) }

// maxSeq returns the later of two sequence numbers.
func maxSeq(s, t Seq) Seq {
	if s.Before(t) {
		return t
	}
	return s
}

// minSeq returns the earlier of two sequence numbers.
func minSeq(s, t Seq) Seq {
	if t.Before(s) {
		return t
	}
	return s
}
