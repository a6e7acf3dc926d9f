package netstack

import (
	"iter"
	"reflect"

	"smolnet/netstack/core"
)

// Stats returns the sum of the counters of all stacks. Those that were read
// first may be older than the others.
func (g *Group) Stats() (sum core.Stats) {
	for _, st := range g.stacks {
		s := st.Stats()
		addNumbers(reflect.ValueOf(&sum).Elem(), reflect.ValueOf(&s).Elem())
	}
	return sum
}

// addNumbers adds every number in v to its counterpart in sum, so that counters
// which are added to Stats are not forgotten here.
func addNumbers(sum, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			addNumbers(sum.Field(i), v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			addNumbers(sum.Index(i), v.Index(i))
		}
	case reflect.Int, reflect.Int64:
		sum.SetInt(sum.Int() + v.Int())
	case reflect.Uint64:
		sum.SetUint(sum.Uint() + v.Uint())
	}
}

// Sockets returns the sockets of all stacks, each as they are when the iteration
// comes to it. A listener of the group is one on each stack.
func (g *Group) Sockets() iter.Seq[core.SocketInfo] {
	return func(yield func(core.SocketInfo) bool) {
		for _, st := range g.stacks {
			for s := range st.Sockets() {
				if !yield(s) {
					return
				}
			}
		}
	}
}
