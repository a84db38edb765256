package disk

import (
	"hash/maphash"
	"maps"
	"slices"
)

// page is 4 KiB of a file. It is never changed once it is in a content.
type page struct {
	b   [pageSize]byte
	sum uint64 // 0 for zeros: they are as good as no page
}

// content is what a file holds. It is never changed, so that images can share it: begin gives a draft of another.
type content struct {
	size  int64
	pages map[int64]*page
	sum   uint64 // over all pages
}

var seed = maphash.MakeSeed()

var zeros [pageSize]byte

func (p *page) seal() {
	p.sum = 0
	if p.b != zeros {
		p.sum = maphash.Bytes(seed, p.b[:])
	}
}

// mix spreads a number over all bits (splitmix64's finaliser).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// at is what a page contributes to the sum.
func (p *page) at(no int64) uint64 {
	if p == nil || p.sum == 0 {
		return 0
	}
	return mix(p.sum ^ mix(uint64(no)))
}

// digest tells contents apart.
func (c *content) digest() uint64 { return mix(c.sum + mix(uint64(c.size))) }

// draft is a content being made of another one.
type draft struct {
	of    *content
	size  int64
	fresh map[int64]*page
}

func (c *content) begin() *draft { return &draft{of: c, size: c.size, fresh: map[int64]*page{}} }

// page gives a page to change.
func (d *draft) page(no int64) *page {
	p := d.fresh[no]
	if p == nil {
		p = &page{}
		if old := d.of.pages[no]; old != nil {
			p.b = old.b
		}
		d.fresh[no] = p
	}
	return p
}

// apply makes a change. Of a write it takes only the sectors that keep says; nil means all.
func (d *draft) apply(c change, keep func() bool) {
	if c.size {
		if keep == nil || keep() {
			d.resize(c.off)
		}
		return
	}
	for at := int64(0); at < int64(len(c.data)); {
		off := c.off + at
		n := min(sectorSize-off%sectorSize, int64(len(c.data))-at) // a write need not begin where a sector does
		if keep == nil || keep() {
			copy(d.page(off / pageSize).b[off%pageSize:], c.data[at:at+n])
			d.size = max(d.size, off+n)
		}
		at += n
	}
}

func (d *draft) resize(size int64) {
	for no := range d.of.pages {
		if no*pageSize >= size {
			*d.page(no) = page{}
		}
	}
	for no, p := range d.fresh {
		if no*pageSize >= size {
			*p = page{}
		}
	}
	if size%pageSize != 0 && size < d.size {
		clear(d.page(size / pageSize).b[size%pageSize:])
	}
	d.size = size
}

// done gives the new content.
func (d *draft) done() content {
	c := content{size: d.size, pages: d.of.pages, sum: d.of.sum}
	if len(d.fresh) == 0 {
		return c
	}
	c.pages = maps.Clone(c.pages)
	if c.pages == nil {
		c.pages = map[int64]*page{}
	}
	for no, p := range d.fresh {
		p.seal()
		c.sum += p.at(no) - c.pages[no].at(no)
		c.pages[no] = p
	}
	return c
}

// numbers are the pages that are not zeros, in order.
func (c *content) numbers() []int64 {
	var out []int64
	for no, p := range c.pages {
		if p.sum != 0 {
			out = append(out, no)
		}
	}
	slices.Sort(out)
	return out
}
