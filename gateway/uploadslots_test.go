package gateway

import (
	"testing"

	"casgate/cas/journal"
)

func TestOneTokenLeavesUploadsToOthers(t *testing.T) {
	for _, all := range []int{1, 2, 4, 256} {
		slots := newUploadSlots(all)
		greedy := 0
		for slots.take("token:greedy") == nil {
			greedy++
		}
		others := 0
		for slots.take("token:other") == nil {
			others++
		}
		if greedy+others != all || slots.used() != all || all >= 4 && others != all/4 {
			t.Errorf("of %d slots one token has %d, and another one %d", all, greedy, others)
		}
		if err := slots.take("token:third"); err != errNoUploadSlot {
			t.Errorf("all are used: %v", err)
		}
		for range others {
			slots.free("token:other")
		}
		if err := slots.take("token:greedy"); all >= 4 && err != errNoTokenSlot {
			t.Errorf("the token's are used: %v", err)
		}
		for range greedy {
			slots.free("token:greedy")
		}
	}
	slots := newUploadSlots(8)
	for range 8 { // without authentication there is one actor
		if err := slots.take(journal.ActorNone); err != nil {
			t.Error(err)
		}
	}
}
