package wire

// Dump appends a one-line, human reading of a frame.
func Dump(dst, b []byte, ethernet bool) []byte { return dst }
