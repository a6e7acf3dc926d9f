// Package script runs texts that tell what goes over the wire between a TCP
// connection and its peer, and what its user does, in virtual time. A script
// proves sentences of RFCs and quotes them. README.md has the language.
//
// The package knows the language and nothing of what a script is about: that is
// a [Subject], such as a tcp.Conn with its owner, or a whole core.
package script
