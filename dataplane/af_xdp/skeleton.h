// SPDX-License-Identifier: Apache-2.0
// The generated skeleton of bpf/steer.bpf.c, with the warnings of generated C kept out of our C++.
#pragma once

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <steer.skel.h>
#pragma GCC diagnostic pop
