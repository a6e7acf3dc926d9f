package core

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// What a connection and a record cost, besides pages: an idle connection is one
// object of at most 2 KiB, a record in TIME-WAIT at most 200. Both are what the
// memory budget is charged, or less.
func TestSizes(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(TCP{}), uintptr(socketCharge))
	require.LessOrEqual(t, unsafe.Sizeof(timeWait{}), uintptr(200))
	require.LessOrEqual(t, unsafe.Sizeof(timeWait{})+unsafe.Sizeof(connKey{})+8, uintptr(recordCharge))
	t.Log("TCP", unsafe.Sizeof(TCP{}), "tcp.Conn", unsafe.Sizeof(TCP{}.conn), "socket", unsafe.Sizeof(socket{}), "timeWait", unsafe.Sizeof(timeWait{}), "UDP", unsafe.Sizeof(UDP{}))
}
