package index

import "casgate/cas"

// Missing returns the digests that are not live, in their order.
func Missing(ds, live []cas.Digest) []cas.Digest {
	found := make(map[cas.Digest]struct{}, len(live))
	for _, d := range live {
		found[d] = struct{}{}
	}
	var missing []cas.Digest
	for _, d := range ds {
		if _, ok := found[d]; !ok {
			missing = append(missing, d)
		}
	}
	return missing
}
