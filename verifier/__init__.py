"""The verifier: checks a federation from public bytes and trusts nobody.  Of ours it imports protocol and contracts."""
