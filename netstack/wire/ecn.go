package wire

// An ECN is the codepoint of explicit congestion notification in an IP header, RFC
// 3168 5: the lower two bits of IPv4's TOS and of IPv6's traffic class.
type ECN uint8

// The codepoints.
const (
	NotECT ECN = iota // the sender does not know of marks
	ECT1              // it does; RFC 8311 keeps this one for experiments
	ECT0              // it does
	CE                // congestion experienced: the mark
)

// ECNMask has the bits of TOS or traffic class that are an ECN.
const ECNMask = 0x03

// ECNOf returns the codepoint in a TOS or traffic class.
func ECNOf(tos uint8) ECN { return ECN(tos & ECNMask) }

var ecnNames = [4]string{"Not-ECT", "ECT(1)", "ECT(0)", "CE"}

// String returns the name that RFC 3168 5 has for e, such as "ECT(0)".
func (e ECN) String() string { return ecnNames[e&ECNMask] }
