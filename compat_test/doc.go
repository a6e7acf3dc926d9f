// Package compat holds no code of its own: its tests run one body over the
// kernel's package net and over smolnet and demand that the two agree, run
// ordinary Go programs (net/http, crypto/tls, HTTP/2) over the stack unchanged,
// and put the stack on a TAP or a TUN against Linux and its tools.
package compat
