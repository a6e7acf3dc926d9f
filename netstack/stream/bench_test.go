package stream

import "testing"

func benchmarkWriteRead(b *testing.B, n int) {
	var s Stream
	s.Init(NewPool(0), 1<<20)
	buf := make([]byte, n)
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		s.Write(buf)
		s.Read(buf)
	}
}

func BenchmarkWriteRead1K(b *testing.B)  { benchmarkWriteRead(b, 1<<10) }
func BenchmarkWriteRead64K(b *testing.B) { benchmarkWriteRead(b, 64<<10) }

// One request and its answer's worth, with the page given back every time.
func BenchmarkWriteReadTrim1K(b *testing.B) {
	var s Stream
	s.Init(NewPool(0), 1<<20)
	buf := make([]byte, 1<<10)
	for b.Loop() {
		s.Write(buf)
		s.Read(buf)
		s.Trim()
	}
}

// Segments placed one by one and copied out segment by segment.
func BenchmarkSegments(b *testing.B) {
	var s Stream
	s.Init(NewPool(0), 1<<20)
	buf := make([]byte, 1448)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		end := s.End()
		s.Extend(s.WriteAt(end, buf))
		s.Publish()
		s.CopyAt(end, buf)
		s.Release(end + uint64(len(buf)))
	}
}
