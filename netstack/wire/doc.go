// Package wire reads and writes the headers of a stack's packets: Ethernet,
// ARP, IPv4, IPv6 and its extension headers, ICMP, neighbour discovery, UDP
// and TCP. It also computes checksums and renders packets for people.
//
// A header is a plain value, with its fields in the order of the wire. It
// holds no reference to the packet it was read from, so it can be kept,
// compared with == and written as a literal. Every header has a Parse function
// and a Put method.
//
// Parse makes every check that the header itself allows; what it returned can
// be trusted. The payload it returns aliases the packet, and belongs to whoever
// owns that. Transport checksums are the caller's to verify, since a device may
// have done it. Every error is a [Drop], which is a counter's index too, and
// costs no allocation. No bytes make this package panic.
//
// Put writes to a buffer which must be long enough: one that is not is a
// mistake in the program, and panics. Nothing here allocates but the String
// methods.
package wire
