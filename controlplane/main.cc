// SPDX-License-Identifier: Apache-2.0
// The `penstock` binary: daemon and command line.
int main() { return 2; }
