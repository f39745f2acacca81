// SPDX-License-Identifier: Apache-2.0
// The command line: what each verb asks for and prints. Answers the process's exit status: 0 good,
// 1 the thing asked for failed, 2 usage.
#pragma once

namespace penstock {

int run_command_line(int argc, char** argv);

}  // namespace penstock
