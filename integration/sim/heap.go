//go:build simoverlay

package sim

import "unsafe"

// settled keeps what settleHeap allocated.
var settled struct {
	bytes    [][]byte
	pointers [][]*byte
}

// settleHeap lets all that is allocated from now on lie at addresses that are the same in each process: the order of large
// maps whose keys are pointers depends on them, such as that in which net/http closes connections. How many threads a
// process starts in its first moments is a matter of chance, and each takes memory. So whatever memory the heap has is used
// up; the next comes in pieces of 4 MiB from a multiple of that.
func settleHeap() {
	const page, chunk = 8 << 10, 4 << 20
	settled.bytes = make([][]byte, 0, 1<<15)
	settled.pointers = make([][]*byte, 0, 1<<15)
	var fresh []byte
	for range chunk / page * 2 { // what is free lies below the end of the heap, and is less than a piece
		fresh = make([]byte, page)
		settled.bytes = append(settled.bytes, fresh)
		if uintptr(unsafe.Pointer(&fresh[0]))%chunk == 0 {
			break
		}
	}
	base := uintptr(unsafe.Pointer(&fresh[0]))
	// What is left of the pages that the allocator has for each class of sizes.
	for size := 8; size <= 32<<10; size += 8 {
		for {
			b := make([]byte, size)
			settled.bytes = append(settled.bytes, b)
			if uintptr(unsafe.Pointer(&b[0])) >= base {
				break
			}
		}
		for {
			p := make([]*byte, size/8)
			settled.pointers = append(settled.pointers, p)
			if uintptr(unsafe.Pointer(&p[0])) >= base {
				break
			}
		}
		if size >= 1<<10 {
			size += size/16 - size/16%8 // classes are not nearer to each other
		}
	}
}
