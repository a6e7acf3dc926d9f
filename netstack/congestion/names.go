package congestion

// New returns what makes controllers of a name: "reno" ([Reno]) or "none" ([None]).
// Reno is not paced. !ok: there is no such controller.
func New(name string) (f Factory, ok bool) {
	switch name {
	case "reno":
		return func() Controller { return new(Reno) }, true
	case "none":
		return func() Controller { return None{} }, true
	}
	return nil, false
}

// Names returns the names that [New] knows, in alphabetical order.
func Names() []string { return []string{"none", "reno"} }
