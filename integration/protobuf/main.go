// SPDX-License-Identifier: Apache-2.0

// Command protobuf writes the Go code of a .proto file, beside it. Go's own
// plugins of protoc make it; protoc itself is not needed. Run it in the
// repository's folder, as `go generate` does.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

const module = "github.com/manifest-format/manifest-format"

// plugins write the code: of the messages in the version that go.mod has, and
// of the service.
var plugins = []string{
	"google.golang.org/protobuf/cmd/protoc-gen-go",
	"google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2",
}

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "protobuf: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("name one .proto file, not %d", len(args))
	}
	files, err := generate(ctx, ".", args[0])
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(filepath.Dir(args[0]), name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate makes the code of a .proto file that imports no other, by file
// name. The path is one within the repository's folder, root.
func generate(ctx context.Context, root, path string) (map[string]string, error) {
	// A program may hold one file of a name: this one has no other.
	name := module + "/" + filepath.ToSlash(path)
	compiler := protocompile.Compiler{
		Resolver: &protocompile.SourceResolver{Accessor: func(asked string) (io.ReadCloser, error) {
			if asked != name {
				return nil, fs.ErrNotExist // the compiler's own files are in it
			}
			return os.Open(filepath.Join(root, path))
		}},
		SourceInfoMode: protocompile.SourceInfoStandard, // comments
	}
	compiled, err := compiler.Compile(ctx, name)
	if err != nil {
		return nil, err
	}
	request, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{name},
		Parameter:      proto.String("paths=source_relative"),
		ProtoFile:      []*descriptorpb.FileDescriptorProto{protoutil.ProtoFromFileDescriptor(compiled[0])},
	})
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, plugin := range plugins {
		cmd := exec.CommandContext(ctx, "go", "run", plugin)
		cmd.Stdin, cmd.Stderr = bytes.NewReader(request), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", plugin, err)
		}
		var response pluginpb.CodeGeneratorResponse
		if err := proto.Unmarshal(out, &response); err != nil {
			return nil, fmt.Errorf("%s: %w", plugin, err)
		}
		if response.Error != nil {
			return nil, fmt.Errorf("%s: %s", plugin, response.GetError())
		}
		for _, file := range response.GetFile() {
			files[filepath.Base(file.GetName())] = file.GetContent()
		}
	}
	return files, nil
}
