// SPDX-License-Identifier: Apache-2.0
// The `penstock` binary: daemon and command line.
#include "controlplane/cli/commands.h"

int main(int argc, char** argv) {
  return penstock::run_command_line(argc, argv);
}
