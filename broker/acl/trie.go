package acl

import (
	"bytes"
	"strings"
)

// node is where prefixes branch, or one ends. A name is searched by as many steps as there are such places along it, so that
// neither the number of rules nor what most names begin with makes it long.
type node struct {
	label    string // what follows the parent's text; not empty but at the root
	says     says   // of the rules on prefixes up to here
	first    []byte // of the labels of the children
	children []*node
}

// insert adds what a rule on a prefix says. What it says below is added by settle.
func (n *node) insert(text string, said says) {
	for text != "" {
		i := bytes.IndexByte(n.first, text[0])
		if i < 0 {
			n.first = append(n.first, text[0])
			n.children = append(n.children, &node{label: text, says: said})
			return
		}
		child := n.children[i]
		same := 0
		for same < len(text) && same < len(child.label) && text[same] == child.label[same] {
			same++
		}
		if same < len(child.label) {
			between := &node{label: child.label[:same], first: []byte{child.label[same]}, children: []*node{child}}
			child.label = child.label[same:]
			n.children[i] = between
			child = between
		}
		n, text = child, text[same:]
	}
	n.says.add(said)
}

// settle adds to every node what its parents say.
func (n *node) settle() {
	for waiting := []*node{n}; len(waiting) > 0; {
		n = waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		for _, child := range n.children {
			child.says.add(n.says)
		}
		waiting = append(waiting, n.children...)
	}
}

// on returns what is said about names that begin as this one.
func (n *node) on(name string) *says {
	for name != "" {
		i := bytes.IndexByte(n.first, name[0])
		if i < 0 || !strings.HasPrefix(name, n.children[i].label) {
			break
		}
		n = n.children[i]
		name = name[len(n.label):]
	}
	return &n.says
}
