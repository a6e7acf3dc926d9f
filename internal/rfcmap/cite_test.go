package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const sampleSections = `rfc: 5681
title: Congestion
2 | should | alone
3.1 initial/first window | must | words
3.1 ssthresh high | should | other words
3.1 step 4 | must | an equation
3.2 step 2/dupthresh | must | a step
3.2 step 2 limited | must not | a part of it
3.2 step 3 | must | another step
4.3 | should | the rest
4.3 half | must | a part
5 step C.1 prr_out | must | a letter
`

// TestRowsBySection says which rows a comment means.
func TestRowsBySection(t *testing.T) {
	tab, err := parseTable(sampleSections)
	require.NoError(t, err)
	tests := []struct{ text, want string }{
		{"RFC 5681 2: what is no duplicate", "2"},
		{"RFC 5681, section 2", "2"},
		{"what RFC\n5681 2 says", "2"},
		{"RFC 5681 3.1: the initial window", "3.1 initial window"},
		{"The first windows (RFC 5681 3.1) are small", "3.1 initial window"},
		{"Windows. The first is small, RFC 5681 3.1.", ""},
		{"RFC 5681 3.1. The initial window", ""},
		{`RFC 5681 3.1: "It is so. The initial window is 2"`, "3.1 initial window"},
		{"RFC 5681 3.1; RFC 6928 has the initial window", ""},
		{"The initial window of RFC 6928, RFC 5681 3.1", ""},
		{"RFC 5681 3.1: initial windows, and SSThresh as high as can be", "3.1 initial window, 3.1 ssthresh high"},
		{"RFC 5681 3.1, (4): a timeout", "3.1 step 4"},
		{"RFC 5681 3.1 by equation 4", "3.1 step 4"},
		{"RFC 5681 3.1, 4 segments", ""},
		{"RFC 5681 3.2 step 2", "3.2 step 2"},
		{"as step 2 of RFC 5681 3.2 says", "3.2 step 2"},
		{"RFC 5681 3.2: DupThresh", "3.2 step 2"},
		{"RFC 5681 3.2, 2: without what limited transmit sent", "3.2 step 2 limited"},
		{"RFC 5681 3.2, 1-3: all", "3.2 step 2, 3.2 step 3"},
		{"RFC 5681 3.2 steps 2 and 3", "3.2 step 2, 3.2 step 3"},
		{"RFC 5681 3.2 (3)", "3.2 step 3"},
		{"RFC 5681 3.2, and step 3 of something. Step 2", "3.2 step 3"},
		{"RFC 5681 4.3", "4.3"},
		{"RFC 5681 4.3: half of it", "4.3 half"},
		{"RFC 5681 5 (C.1): prr_out", "5 step C.1 prr_out"},
		{"RFC 5681 4.3.2, half", "4.3 half"},
		{"RFC 5681 3.2", ""},
	}
	for _, tt := range tests {
		var names []string
		for _, x := range cites(tt.text) {
			if x.rfc == "5681" && x.id != "" {
				for _, r := range tab.citedRows(x) {
					names = append(names, r.name())
				}
			}
		}
		require.Equal(t, tt.want, strings.Join(names, ", "), tt.text)
	}
}

// TestSectionsWithoutRow: what fits no row stands at the end of the document.
func TestSectionsWithoutRow(t *testing.T) {
	tab, err := parseTable(sampleSections)
	require.NoError(t, err)
	cited := make(citations)
	src := "package x\n\n// RFC 5681 3.2.\nfunc a() {}\n\n// RFC 5681 3.2 step 3.\nfunc b() {}\n"
	require.NoError(t, cited.scanFile("x.go", []byte(src), []*table{tab}))
	doc := tab.render(cited)
	require.Contains(t, doc, "| 3.2 step 2 | must | a step | open |  |\n")
	require.Contains(t, doc, "| 3.2 step 3 | must | another step | `x.go` b |  |\n")
	require.Contains(t, doc, "| 3.2 | `x.go` a |  |\n")
	require.True(t, cited.has("5681", "3.2 step 3"))
	require.False(t, tab.labels())
}

// TestTables quotes RFCs as scripts and comments do: each sentence stands for
// its row in the table that we have.
func TestTables(t *testing.T) {
	tables, err := loadTables("../..")
	require.NoError(t, err)
	for _, tt := range []struct{ text, want string }{
		{`RFC 5681 3.1: "if the SYN or SYN/ACK is lost, the initial window used by a sender"`, "3.1 initial window, 3.1 SYN lost"},
		{`RFC 5681 3.2: "On the first and second duplicate ACKs ... a segment of previously unsent data"`, "3.2 step 1"},
		{`RFC 5681 3.2: "When the third duplicate ACK is received, a TCP MUST set ssthresh"`, "3.2 step 2"},
		{`RFC 5681 3.2: "and cwnd set to ssthresh plus 3*SMSS."`, "3.2 step 3"},
		{`RFC 5681 3.2: "For each additional duplicate ACK received, cwnd MUST be incremented by SMSS."`, "3.2 step 4"},
		{`RFC 5681 3.2: "the next ACK ... a TCP MUST set cwnd to ssthresh"`, "3.2 step 6"},
		{`RFC 5681 4.2: "an ACK SHOULD be generated for at least every second full-sized segment"`, "4.2 second"},
		{`RFC 6298 3: "TCP MUST use Karn's algorithm"`, "3 Karn"},
		{`RFC 6675 4: "a single 'rescue' retransmission" of NextSeg`, "4 NextSeg step 4"},
		{`RFC 6675 5: "(4.1) RecoveryPoint = HighData"`, "5 step 4.1"},
		{`RFC 6675 section 5, step (C.2)`, "5 step C.2"},
		{`RFC 8985 6.2 step 4: the window grows`, "6.2 step 4"},
		{`RFC 8985 6.2: "The sender sets RACK.reordering_seen to TRUE"`, "6.2 step 3"},
		{`RFC 8985 7.2: "when there is no SRTT estimate available, the PTO SHOULD be 1 second."`, "7.2 SRTT, 7.2 second"},
		{`RFC 6937 3: "prr_out += (data sent)"`, "3 prr_out"},
		{`RFC 9438 4.6: "The parameter beta SHOULD be set to 0.7"`, "4.6 beta"},
		{`RFC 9438 4.9.2: what was saved comes back`, "4.9.2"},
		{`RFC 9406 4.3: N_RTT_SAMPLE`, "4.3"},
		{`RFC 7323 5.3, R1: an acknowledgment goes back`, "5.3 step R1"},
		{`RFC 5961 3.2: "sequence number is outside the current receive window, silently drop"`, "3.2 outside"},
		{`RFC 5961 4.2: "irrespective of the sequence number"`, "4.2"},
		{`RFC 4821 7.6.2: a lost probe is not congestion`, "7.6 lost congestion"},
		{`RFC 3168 6.1.3: "until it receives a CWR packet"`, "6.1.3 until"},
		{`RFC 3168 6.1.2: "sets the CWR flag in the TCP header of the first new data packet"`, "6.1.2 CWR new"},
		{`RFC 7413 4.1.1: "invalid Length values or without the SYN flag set MUST be ignored"`, "4.1.1 ignored"},
		{`RFC 7413 4.2.1: the client asks for a cookie with an empty option`, "4.2.1 request"},
	} {
		found, err := resolve(cites(tt.text)[1], tables)
		require.NoError(t, err)
		var names []string
		for _, m := range found {
			for _, tab := range tables {
				if r := tab.row(m.id); tab.rfc == m.rfc && r != nil {
					names = append(names, r.name())
				}
			}
		}
		require.Equal(t, tt.want, strings.Join(names, ", "), tt.text)
	}
}
