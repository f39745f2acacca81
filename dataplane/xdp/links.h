// SPDX-License-Identifier: Apache-2.0
// The attachments of programs to interfaces: one link an interface, in native mode where the driver
// can. The balancer's are pinned.
#pragma once

#include <string>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/fd.h"
#include "dataplane/result.h"
#include "dataplane/xdp/pin_directory.h"

namespace penstock {

struct LinkedProgram {
  Fd link;  // the attachment ends with it, unless it is pinned
  InterfaceStatus status;
};

// Attaches the program to an interface that has none, and says how. kConflict: it has one.
Result<LinkedProgram> link_program(int program_fd, const std::string& name, uint32_t index);

// Makes the program forward on the interface: takes over the link pinned for it, else attaches and
// pins one. A replaced program's last packet and the new one's first have no gap between them. The
// status says how.
Result<InterfaceStatus> attach_interface(const PinDirectory& pins, const std::string& name,
                                         uint32_t index, int program_fd);

// Ends what is pinned for devices that none of these stands on.
void detach_others(const PinDirectory& pins, const std::vector<InterfaceStack>& stacks);

bool is_link_pin(const std::string& file_name);
void detach_pinned_link(const std::string& path);

}  // namespace penstock
