"""Images from this repository: built so that two machines get the same bytes, pushed by digest, signed and attested."""
