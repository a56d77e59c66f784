// Command release builds the archives of a release, with a file of their checksums. The
// same commit and the same Go make the same bytes: archives have the commit's time, and no
// owners.
//
//	go run ./scripts/release [--version V] [--out FOLDER] [OS/ARCH...]
//
// Without names it builds for Linux, macOS and Windows, on amd64 and arm64.
package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

var platforms = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64"}

func main() {
	version := flag.String("version", "", "the version; that of the tag if empty")
	out := flag.String("out", "dist", "the folder for the archives")
	flag.Parse()
	wanted := flag.Args()
	if len(wanted) == 0 {
		wanted = platforms
	}
	if err := release(*version, *out, wanted); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release builds an archive for each platform, and then the checksums of all.
func release(version, out string, wanted []string) error {
	if version == "" {
		text, err := output("git", "describe", "--tags", "--always", "--dirty")
		if err != nil {
			return err
		}
		version = text
	}
	text, err := output("git", "log", "-1", "--format=%ct")
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("the time of the commit: %w", err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	var sums []string
	for _, platform := range wanted {
		goos, goarch, ok := strings.Cut(platform, "/")
		if !ok {
			return fmt.Errorf("%q is not a platform such as linux/amd64", platform)
		}
		name, sum, err := pack(build{goos, goarch, version, time.Unix(seconds, 0).UTC(), out})
		if err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
		fmt.Println(filepath.Join(out, name))
		sums = append(sums, sum+"  "+name+"\n")
	}
	slices.Sort(sums)
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(strings.Join(sums, "")), 0o644)
}

// output returns what a program prints, without the end of the line.
func output(program string, args ...string) (string, error) {
	b, err := exec.Command(program, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", program, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// build is a program to pack.
type build struct {
	goos, goarch, version string
	at                    time.Time // of everything in the archive
	out                   string    // the folder
}

// entry is a file in an archive.
type entry struct {
	name    string
	content []byte
	mode    os.FileMode
}

// pack builds the program and returns the archive's name and its checksum.
func pack(b build) (name, sum string, err error) {
	program := "cas"
	if b.goos == "windows" {
		program += ".exe"
	}
	folder, err := os.MkdirTemp("", "casgate-release-")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(folder)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-pgo=cmd/cas/hot.pgo",
		"-ldflags=-s -w -buildid= -X casgate/cmd/cas/internal/build.version="+b.version, "-o", filepath.Join(folder, program), "./cmd/cas")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+b.goos, "GOARCH="+b.goarch, "GOFLAGS=")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", "", err
	}
	base := fmt.Sprintf("casgate-%s-%s-%s", b.version, b.goos, b.goarch)
	var entries []entry
	for path, mode := range map[string]os.FileMode{filepath.Join(folder, program): 0o755, "LICENSE": 0o644, "README.md": 0o644} {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", "", err
		}
		entries = append(entries, entry{base + "/" + filepath.Base(path), content, mode})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	write, name := writeTar, base+".tar.gz"
	if b.goos == "windows" {
		write, name = writeZip, base+".zip"
	}
	archive, err := os.Create(filepath.Join(b.out, name))
	if err != nil {
		return "", "", err
	}
	hash := sha256.New()
	err = write(io.MultiWriter(archive, hash), entries, b.at)
	if closeErr := archive.Close(); err == nil {
		err = closeErr
	}
	return name, hex.EncodeToString(hash.Sum(nil)), err
}

func writeTar(to io.Writer, entries []entry, at time.Time) error {
	compressed, err := gzip.NewWriterLevel(to, gzip.BestCompression)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(compressed)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Mode: int64(e.mode), Size: int64(len(e.content)), ModTime: at, Format: tar.FormatPAX}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(e.content); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return compressed.Close()
}

func writeZip(to io.Writer, entries []entry, at time.Time) error {
	archive := zip.NewWriter(to)
	for _, e := range entries {
		header := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: at}
		header.SetMode(e.mode)
		w, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := w.Write(e.content); err != nil {
			return err
		}
	}
	return archive.Close()
}
