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
