package checker

import (
	"fmt"
	"slices"
	"strings"

	"github.com/runnel-io/runnel/integration/history"
)

// checkCycles finds transactions each of which read, at read_committed, what the one before it sent, in a circle: none of
// them can have been committed before the others. What was written after what says nothing: offsets are no versions.
func checkCycles(x *index, f *findings) {
	g := newGraph(x)
	for _, component := range g.components() {
		if len(component) > 1 {
			g.report(x, f, g.circle(component))
		}
	}
}

// edge leads from the operation that sent a record to one that read it.
type edge struct {
	to   int32
	read int32
}

// graph holds operations by their numbers.
type graph struct {
	nodes []int32 // those with edges, rising
	edges map[int32][]edge
}

func newGraph(x *index) *graph {
	g := &graph{edges: map[int32][]edge{}}
	for i := range x.reads {
		r := &x.reads[i]
		if !r.committed || r.send < 0 || x.ops[r.op].Kind != history.Transaction {
			continue
		}
		if s := &x.sends[r.send]; s.transactional && s.op != r.op {
			g.edges[s.op] = append(g.edges[s.op], edge{r.op, int32(i)})
		}
	}
	for node := range g.edges {
		g.nodes = append(g.nodes, node)
	}
	slices.Sort(g.nodes)
	return g
}

// visit is where the search stands at a node.
type visit struct {
	node int32
	next int // edge
}

// components gives the strongly connected components (Tarjan 1972), without recursion: chains are as long as histories.
func (g *graph) components() [][]int32 {
	var (
		components [][]int32
		order      = map[int32]int{} // in which nodes were found, from 1
		low        = map[int32]int{}
		onStack    = map[int32]bool{}
		stack      []int32
		path       []visit
	)
	enter := func(node int32) {
		order[node] = len(order) + 1
		low[node] = order[node]
		stack, onStack[node] = append(stack, node), true
		path = append(path, visit{node: node})
	}
	leave := func(node int32) {
		if path = path[:len(path)-1]; len(path) > 0 {
			parent := path[len(path)-1].node
			low[parent] = min(low[parent], low[node])
		}
		if low[node] != order[node] {
			return
		}
		begin := len(stack) - 1
		for stack[begin] != node {
			begin--
		}
		component := slices.Clone(stack[begin:])
		for _, member := range component {
			onStack[member] = false
		}
		stack = stack[:begin]
		slices.Sort(component)
		components = append(components, component)
	}
	for _, root := range g.nodes {
		if order[root] == 0 {
			enter(root)
		}
		for len(path) > 0 {
			at := &path[len(path)-1]
			if at.next == len(g.edges[at.node]) {
				leave(at.node)
				continue
			}
			node, to := at.node, g.edges[at.node][at.next].to
			at.next++
			if order[to] == 0 {
				enter(to)
			} else if onStack[to] {
				low[node] = min(low[node], order[to])
			}
		}
	}
	slices.SortFunc(components, func(a, b []int32) int { return int(a[0] - b[0]) })
	return components
}

// circle gives the edges of a shortest way from a component's first node back to it.
func (g *graph) circle(component []int32) []edge {
	start := component[0]
	member := map[int32]bool{}
	for _, node := range component {
		member[node] = true
	}
	cameBy := map[int32]edge{}
	from := map[int32]int32{}
	queue := []int32{start}
	for len(queue) > 0 {
		node := queue[0]
		queue = queue[1:]
		for _, e := range g.edges[node] {
			if _, seen := cameBy[e.to]; seen || !member[e.to] {
				continue
			}
			cameBy[e.to], from[e.to] = e, node
			if e.to == start {
				queue = nil
				break
			}
			queue = append(queue, e.to)
		}
	}
	circle := []edge{cameBy[start]}
	for node := from[start]; node != start; node = from[node] {
		circle = append(circle, cameBy[node])
	}
	slices.Reverse(circle)
	return circle
}

func (g *graph) report(x *index, f *findings, circle []edge) {
	const mostShown = 10
	var steps []string
	var places []place
	for _, e := range circle[:min(len(circle), mostShown)] {
		r := &x.reads[e.read]
		s := &x.sends[r.send]
		steps = append(steps, fmt.Sprintf("#%d sent %d, which #%d read", x.ops[s.op].Begun.Seq, s.record.Value, x.ops[r.op].Begun.Seq))
		places = append(places, x.sendPlace(s), x.readPlace(r))
	}
	f.add(G1c, nowhere, places, "%d transactions read each other in a circle: %s", len(circle), strings.Join(steps, "; "))
}
