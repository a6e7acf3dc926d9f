package conn

import "sync"

// CountCopyBuffers has f called for each buffer that is made for copying.
func CountCopyBuffers(f func()) (restore func()) {
	made := copyBuffers.New
	copyBuffers = sync.Pool{New: func() any { f(); return made() }}
	return func() { copyBuffers = sync.Pool{New: made} }
}
