#!/bin/sh
# What the scripts here count on, whatever the machine's memory or its kernel's build: with these settings they pass on
# Linux as well (one namespace each).
sysctl -q net.ipv4.tcp_rmem="4096 131072 6291456"
sysctl -q net.ipv4.tcp_wmem="4096 16384 4194304"
sysctl -q net.ipv4.tcp_congestion_control=reno
sysctl -q net.ipv4.tcp_timestamps=1
sysctl -q net.ipv4.tcp_syncookies=1
sysctl -q net.ipv4.tcp_ecn=2
sysctl -q net.ipv4.tcp_fastopen=1
