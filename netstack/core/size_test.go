package core

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// What a connection and a record cost, besides pages: an idle connection is one
// object of at most 2 KiB, a record in TIME-WAIT at most 200.
func TestSizes(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(TCP{}), uintptr(2048))
	require.LessOrEqual(t, unsafe.Sizeof(timeWait{}), uintptr(200))
	t.Log("TCP", unsafe.Sizeof(TCP{}), "tcp.Conn", unsafe.Sizeof(TCP{}.conn), "socket", unsafe.Sizeof(socket{}), "timeWait", unsafe.Sizeof(timeWait{}), "UDP", unsafe.Sizeof(UDP{}))
}
