package cache

import "time"

const (
	// distrust is how long peers are not asked for an object that was forgotten, and it is not forgotten again.
	distrust = time.Minute
	// mostDistrusted bounds the objects of which that is remembered.
	mostDistrusted = 256
)

// Forget drops what is held of an object, because it did not have the bytes that it should, and loads it from the store
// for a minute: a peer may have given the wrong bytes, and may give them again. A second Forget within the minute does
// nothing: it is the store that has wrong bytes then, and to read them over and over does not help.
func (c *Cache) Forget(key string) {
	c.mu.Lock()
	if c.distrusts(key) {
		c.mu.Unlock()
		return
	}
	c.distrusted[key] = time.Now()
	for k, at := range c.distrusted {
		if len(c.distrusted) > mostDistrusted || time.Since(at) >= distrust {
			if k != key {
				delete(c.distrusted, k)
			}
		}
	}
	c.mu.Unlock()
	// Whoever loads now, from the store, puts good blocks in, which this may drop once more: no harm.
	for _, blocks := range c.shares() {
		for id := range blocks.Keys() {
			if id.key == key {
				blocks.Invalidate(id)
			}
		}
	}
	c.forgotten.Add(1)
}

// distrusts tells whether peers are not to be asked for an object. c.mu is held.
func (c *Cache) distrusts(key string) bool {
	at, ok := c.distrusted[key]
	return ok && time.Since(at) < distrust
}
