"""Domain records to protobuf messages and back: one module a proto file."""
