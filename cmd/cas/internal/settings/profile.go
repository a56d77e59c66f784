package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"casgate/gateway/client"
)

// Profile is a gateway that `cas login` has kept: its URL and a token for it.
type Profile struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

// Profiles is the content of the configuration file.
type Profiles struct {
	Default  string             `json:"default"` // name of the profile that is used if none is named
	Profiles map[string]Profile `json:"profiles"`
}

// ConfigVariable is the variable with the path of the configuration file.
const ConfigVariable = "CAS_CONFIG"

// ProfilesPath returns the path of the configuration file: CAS_CONFIG, else casgate/config.json
// in the user's configuration folder. It is "" if the user has none.
func ProfilesPath() string {
	if path := os.Getenv(ConfigVariable); path != "" {
		return path
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "casgate", "config.json")
}

// ReadProfiles reads the configuration file. A missing one has no profiles.
func ReadProfiles() (Profiles, error) {
	path := ProfilesPath()
	content, err := os.ReadFile(path)
	if path == "" || errors.Is(err, fs.ErrNotExist) {
		return Profiles{}, nil
	}
	if err != nil {
		return Profiles{}, err
	}
	var p Profiles
	if err := json.Unmarshal(content, &p); err != nil {
		return Profiles{}, fmt.Errorf("%s is not a configuration file of cas; remove it, and run `cas login` again: %w", path, err)
	}
	return p, nil
}

// Write replaces the configuration file. Only its owner may read it.
func (p Profiles) Write() error {
	path := ProfilesPath()
	if path == "" {
		return errors.New("there is no configuration folder: set HOME, or CAS_CONFIG to the path of a file")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	content, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".config-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(append(content, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// isSameGateway reports whether two URLs are spellings of one.
func isSameGateway(a, b string) bool {
	one, err := client.ParseBaseURL(a)
	other, otherErr := client.ParseBaseURL(b)
	return err == nil && otherErr == nil && one == other
}

// isShared reports whether others than the owner of a file may read or change it. Windows has
// no such modes.
func isShared(path string) bool {
	info, err := os.Stat(path)
	return err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0
}

// withURL returns the profile of a URL, of several the default.
func (p Profiles) withURL(url string) (Profile, bool) {
	same := func(one Profile) bool { return isSameGateway(one.URL, url) }
	if one, ok := p.Profiles[p.Default]; ok && same(one) {
		return one, true
	}
	for _, one := range p.Profiles {
		if same(one) {
			return one, true
		}
	}
	return Profile{}, false
}
