package netsim

// A ring is a queue that grows as it has to, and then allocates no more.
type ring[T any] struct {
	buf   []T // its length is a power of two
	first int
	n     int
}

func (r *ring[T]) at(i int) *T { return &r.buf[(r.first+i)&(len(r.buf)-1)] }

// push adds v at the end.
func (r *ring[T]) push(v T) {
	if r.n == len(r.buf) {
		buf := make([]T, max(16, 2*len(r.buf)))
		for i := range r.n {
			buf[i] = *r.at(i)
		}
		r.buf, r.first = buf, 0
	}
	r.n++
	*r.at(r.n - 1) = v
}

// pop takes out the first. There is one.
func (r *ring[T]) pop() T {
	var zero T
	p := r.at(0)
	v := *p
	*p = zero
	r.first = (r.first + 1) & (len(r.buf) - 1)
	r.n--
	return v
}
