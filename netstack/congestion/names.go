package congestion

// New returns what makes controllers of a name: "bbr" ([BBR]), "cubic" ([Cubic]),
// "none" ([None]) or "reno" ([Reno]). CUBIC paces, Reno does not. !ok: there is no such
// controller.
func New(name string) (f Factory, ok bool) {
	switch name {
	case "bbr":
		return func() Controller { return new(BBR) }, true
	case "cubic":
		return func() Controller { return &Cubic{Pacing: true} }, true
	case "reno":
		return func() Controller { return new(Reno) }, true
	case "none":
		return func() Controller { return None{} }, true
	}
	return nil, false
}

// Names returns the names that [New] knows, in alphabetical order.
func Names() []string { return []string{"bbr", "cubic", "none", "reno"} }
